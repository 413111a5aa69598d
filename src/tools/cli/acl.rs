//! Access control lists as they are typed and shown: `scheme:id:perms,...` with perms out of `cdrwa`.

use crate::proto::{Acl, Perms};

/// Reads a list. (ZooKeeperMain.parseACLs)
///
/// # Errors
/// One line for each entry that is none; 3.4.14 goes on without those, which may let in more people than
/// were meant.
pub fn parse(text: &str) -> Result<Vec<Acl>, Vec<String>> {
    let (mut list, mut wrong) = (Vec::new(), Vec::new());
    for entry in text.split(',') {
        match parse_entry(entry) {
            Ok(acl) => list.push(acl),
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(list) } else { Err(wrong) }
}

fn parse_entry(entry: &str) -> Result<Acl, String> {
    let cut = entry
        .split_once(':')
        .and_then(|(scheme, rest)| rest.rsplit_once(':').map(|(id, perms)| (scheme, id, perms)));
    let Some((scheme, id, letters)) = cut else {
        return Err(format!("{entry} does not have the form scheme:id:perm"));
    };
    let mut perms = Perms(0);
    for letter in letters.chars() {
        match LETTERS.iter().find(|(known, _)| *known == letter) {
            Some((_, perm)) => perms = perms.union(*perm),
            None => return Err(format!("Unknown perm type: {letter}")),
        }
    }
    Ok(Acl::new(perms, scheme, id))
}

/// The letters of a set of permissions, in Java's order.
pub fn letters(perms: Perms) -> String {
    let held = LETTERS.iter().filter(|(_, perm)| perms.intersects(*perm));
    held.map(|(letter, _)| *letter).collect()
}

const LETTERS: [(char, Perms); 5] = [
    ('c', Perms::CREATE),
    ('d', Perms::DELETE),
    ('r', Perms::READ),
    ('w', Perms::WRITE),
    ('a', Perms::ADMIN),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_cut_at_the_first_and_the_last_colon() {
        let list = parse("world:anyone:r,digest:ann:+7K=:cdrwa,ip:::1:rw").expect("good");
        assert_eq!(
            list,
            [
                Acl::new(Perms::READ, "world", "anyone"),
                Acl::new(Perms::ALL, "digest", "ann:+7K="),
                Acl::new(Perms::READ.union(Perms::WRITE), "ip", "::1"),
            ]
        );
        assert_eq!(letters(Perms::ALL), "cdrwa");
        assert_eq!(letters(list[2].perms), "rw");
        assert_eq!(
            parse("auth::cdrwa").expect("good"),
            [Acl::new(Perms::ALL, "auth", "")]
        );
    }

    #[test]
    fn every_entry_that_is_none_is_named() {
        let wrong = parse("world:anyone:r,nonsense,world:anyone:rx").expect_err("two are wrong");
        assert_eq!(
            wrong,
            [
                "nonsense does not have the form scheme:id:perm",
                "Unknown perm type: x"
            ]
        );
    }
}
