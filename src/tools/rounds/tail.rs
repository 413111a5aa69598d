//! A log file as it grows: what was added since the last look, across rotation, truncation and absence.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Stdin};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where a log comes from.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Not there, or not yet.
    Nothing,
    File(File),
    Stdin(Stdin),
}

/// What a look at a log gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// So many bytes.
    Bytes(usize),
    /// Nothing more for now. Of standard input: for ever.
    Dry,
    /// Another file has taken the name, or this one was cut: what follows begins a new line.
    Anew,
}

impl Tail {
    /// Of a file, or of standard input if the path is `-`. Nothing is opened yet.
    pub fn new(path: &Path) -> Tail {
        let source = if path == Path::new("-") {
            Source::Stdin(io::stdin())
        } else {
            Source::Nothing
        };
        Tail {
            path: path.to_path_buf(),
            source,
        }
    }

    /// The name it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file, if that is still to be done.
    ///
    /// # Errors
    /// It is not there, or may not be read.
    pub fn open(&mut self) -> io::Result<()> {
        if let Source::Nothing = self.source {
            let file = File::open(&self.path)?;
            if file.metadata()?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            self.source = Source::File(file);
        }
        Ok(())
    }

    /// Reads what is there of an open log.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::Nothing => Ok(0),
            Source::File(file) => file.read(buffer),
            Source::Stdin(stdin) => stdin.read(buffer),
        }
    }

    /// Reads what was added, and notices when the file is another, or shorter than what was read of it.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn look(&mut self, buffer: &mut [u8]) -> io::Result<Look> {
        match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Look::Dry),
            opened => opened?,
        }
        match self.read(buffer)? {
            0 => self.at_the_end(),
            count => Ok(Look::Bytes(count)),
        }
    }

    fn at_the_end(&mut self) -> io::Result<Look> {
        let Source::File(file) = &mut self.source else {
            return Ok(Look::Dry);
        };
        let open = file.metadata()?;
        if file.stream_position()? > open.len() {
            file.seek(SeekFrom::Start(0))?;
            return Ok(Look::Anew);
        }
        match std::fs::metadata(&self.path) {
            Ok(named) if identity(&named) != identity(&open) => {
                self.source = Source::Nothing;
                Ok(Look::Anew)
            }
            // Moved away, and nothing has taken the name yet: its writer may still have something to say.
            _ => Ok(Look::Dry),
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Everything until there is nothing more for now, with `|` where it begins anew.
    fn all(tail: &mut Tail) -> String {
        let (mut text, mut buffer) = (String::new(), [0; 8]);
        loop {
            match tail.look(&mut buffer).expect("read") {
                Look::Bytes(count) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
                Look::Anew => text.push('|'),
                Look::Dry => return text,
            }
        }
    }

    #[test]
    fn a_file_is_followed_through_absence_growth_rotation_and_truncation() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let mut tail = Tail::new(&path);
        let append = |text: &str| {
            use std::io::Write;
            let mut file = fs::File::options()
                .append(true)
                .create(true)
                .open(&path)
                .expect("opened");
            file.write_all(text.as_bytes()).expect("written");
        };
        assert_eq!(all(&mut tail), "");
        append("one two three\n");
        assert_eq!(all(&mut tail), "one two three\n");
        append("four");
        assert_eq!(all(&mut tail), "four");
        append(" five");
        fs::rename(&path, dir.path().join("log.1")).expect("moved");
        assert_eq!(all(&mut tail), " five");
        append("six");
        assert_eq!(all(&mut tail), "|six");
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(0))
            .expect("cut");
        append("7");
        assert_eq!(all(&mut tail), "|7");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(Tail::new(dir.path()).look(&mut [0; 8]).is_err());
        assert!(Tail::new(&dir.path().join("none")).open().is_err());
    }
}
