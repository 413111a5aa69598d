//! Completions for shells: commands, and the options that their helps name. All else are files.

use std::fmt::Write;

use super::Help;

/// The script for a shell; none if the shell is not known.
pub fn script(shell: &str, helps: &[Help]) -> Option<String> {
    match shell {
        "bash" => Some(bash(helps)),
        "zsh" => Some(zsh(helps)),
        "fish" => Some(fish(helps)),
        _ => None,
    }
}

fn bash(helps: &[Help]) -> String {
    let mut out = String::from(
        "# bash completion for oxkeeper
_oxkeeper() {
    local current=\"${COMP_WORDS[COMP_CWORD]}\" command=\"\" word words
    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do
        case \"$word\" in
        -*) ;;
        *)
            command=\"$word\"
            break
            ;;
        esac
    done
    case \"$command\" in
",
    );
    let _ = writeln!(out, "    \"\") words=\"{} --help --version\" ;;", names(helps));
    for help in helps {
        let _ = writeln!(out, "    {}) words=\"{}\" ;;", help.name, words(help).join(" "));
    }
    out.push_str(
        "    *) words=\"\" ;;
    esac
    case \"$command:$current\" in
    :* | *:-*) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\") ;;
    completion:*) mapfile -t COMPREPLY < <(compgen -W \"SHELLS\" -- \"$current\") ;;
    *) COMPREPLY=() ;;
    esac
}
complete -o default -F _oxkeeper oxkeeper
"
        .replace("SHELLS", SHELLS)
        .as_str(),
    );
    out
}

fn zsh(helps: &[Help]) -> String {
    let mut out = String::from("#compdef oxkeeper\n_oxkeeper() {\n    local -a commands\n    commands=(\n");
    for help in helps {
        let _ = writeln!(out, "        '{}:{}'", help.name, quoted(&help.summary));
    }
    out.push_str("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n");
    out.push_str("    case \"$words[2]\" in\n");
    let _ = writeln!(out, "    completion) compadd -- {SHELLS}; return ;;");
    for help in helps.iter().filter(|help| help.name != "completion") {
        let options: Vec<String> = words(help).iter().map(|word| format!("'{word}'")).collect();
        let _ = writeln!(out, "    {}) compadd -- {} ;;", help.name, options.join(" "));
    }
    out.push_str("    esac\n    _files\n}\n_oxkeeper \"$@\"\n");
    out
}

fn fish(helps: &[Help]) -> String {
    let mut out = String::from("# fish completion for oxkeeper\n");
    let seen = "__fish_seen_subcommand_from completion";
    let _ = writeln!(out, "complete -c oxkeeper -n '{seen}' -f -a '{SHELLS}'");
    for help in helps {
        let _ = writeln!(
            out,
            "complete -c oxkeeper -n __fish_use_subcommand -f -a {} -d '{}'",
            help.name,
            quoted(&help.summary)
        );
        for word in words(help) {
            let (kind, name) = match (word.strip_prefix("--"), word.strip_prefix('-')) {
                (Some(long), _) => ('l', long),
                (None, Some(short)) if short.len() == 1 => ('s', short),
                (None, Some(old)) => ('o', old),
                (None, None) => continue,
            };
            let seen = format!("__fish_seen_subcommand_from {}", help.name);
            let _ = writeln!(out, "complete -c oxkeeper -n '{seen}' -{kind} {name}");
        }
    }
    out
}

/// Those that there are completions for.
const SHELLS: &str = "bash zsh fish";

fn names(helps: &[Help]) -> String {
    let names: Vec<&str> = helps.iter().map(|help| help.name.as_str()).collect();
    names.join(" ")
}

/// A shell's single quotes keep all but themselves.
fn quoted(text: &str) -> String {
    text.replace('\'', "")
}

/// The options in a help: the words with a dash at the beginning of its indented lines.
fn words(help: &Help) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in help.text.lines().filter(|line| line.starts_with("    ")) {
        let options = line
            .trim_start()
            .split([' ', ','])
            .filter(|word| !word.is_empty());
        let options = options.take_while(|word| is_option(word) || word.chars().all(|c| !c.is_lowercase()));
        for word in options.filter(|word| is_option(word)) {
            if !found.iter().any(|other| other == word) {
                found.push(word.to_owned());
            }
        }
    }
    found
}

fn is_option(word: &str) -> bool {
    let name = word.trim_start_matches('-');
    word.starts_with('-') && !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_in_the_helps() {
        let helps = super::super::helps();
        let of = |name: &str| {
            helps
                .iter()
                .find(|help| help.name == name)
                .map(words)
                .unwrap_or_default()
        };
        for (name, option) in [
            ("rounds", "--follow"),
            ("rounds", "-f"),
            ("bench", "--servers"),
            ("cli", "-server"),
            ("cli", "--read-only"),
            ("server", "--help"),
        ] {
            assert!(
                of(name).contains(&option.to_owned()),
                "{name} {option}: {:?}",
                of(name)
            );
        }
    }

    #[test]
    fn every_shell_gets_every_command() {
        let helps = super::super::helps();
        for shell in ["bash", "zsh", "fish"] {
            let script = script(shell, &helps).expect(shell);
            assert!(script.contains(SHELLS), "{shell}: behind `completion`");
            for help in &helps {
                assert!(script.contains(&help.name), "{shell} {}", help.name);
            }
        }
        assert_eq!(script("csh", &helps), None);
    }
}
