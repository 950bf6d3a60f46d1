//! Takes what looks like a secret out of command lines.

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// Words that name a secret, as the parts of an option's name, or at its end (`--dbpassword`).
const SECRETS: [&str; 16] = [
    "accesskey",
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "secret",
    "token",
    "apikey",
    "credential",
    "credentials",
    "authorization",
    "auth",
    "cookie",
    "bearer",
    "privatekey",
];

/// Replaces, in place: the value of each option whose name says secret (`--db-password x`, `--token=x`,
/// `-Dapi.key=x`, `PASSWORD=x`), the user and password in URLs, and the text of inline programs (`-c …`, `-e …`) of
/// the interpreters, which may hold anything.
///
/// This is a net, not a wall: a secret that is passed as a bare argument cannot be told from a file name.
pub fn arguments(arguments: &mut [String]) {
    let inline = arguments.first().and_then(|program| inline_option(program));
    let mut options = true;
    let mut next_is_secret = false;
    let mut next_is_program = false;
    for (index, argument) in arguments.iter_mut().enumerate() {
        let (secret, program) = (std::mem::take(&mut next_is_secret), std::mem::take(&mut next_is_program));
        if program || (secret && !argument.starts_with('-')) {
            argument.clear();
            argument.push_str(REDACTED);
            continue;
        }
        match argument.split_once('=') {
            Some((name, value)) if names_a_secret(name) && !value.is_empty() => {
                *argument = format!("{name}={REDACTED}");
            }
            None if index > 0 && argument.starts_with('-') => {
                next_is_secret = names_a_secret(argument);
                next_is_program = options && inline.is_some_and(|letters| is_inline(argument, letters));
            }
            _ => user_information(argument),
        }
        // Behind the script, `-c` is the script's own option.
        options &= index == 0 || argument.starts_with('-');
        if argument.contains('=') {
            user_information(argument);
        }
    }
}

/// The letter of the option that is followed by a program, for interpreters that have one.
fn inline_option(program: &str) -> Option<&'static [char]> {
    let name = program.rsplit('/').next().unwrap_or(program).trim_start_matches('-');
    match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "python" | "pypy" | "bash" | "sh" | "dash" | "ash" | "zsh" | "ksh" => Some(&['c']),
        "perl" => Some(&['e', 'E']),
        "ruby" | "lua" => Some(&['e']),
        "node" | "nodejs" => Some(&['e', 'p']),
        "php" => Some(&['r']),
        _ => None,
    }
}

/// `-c`, several options in one (`-lc`), or `--eval`.
fn is_inline(argument: &str, letters: &[char]) -> bool {
    let cluster = argument.len() <= 5 && !argument.starts_with("--") && argument.ends_with(letters);
    cluster || argument == "--eval" || argument == "--print"
}

fn names_a_secret(option: &str) -> bool {
    // Options only, and assignments: a path or a sentence with the word in it is none.
    if option.contains(['/', ' ']) {
        return false;
    }
    let option = option.strip_prefix("-D").unwrap_or(option);
    let mut previous = String::new();
    for part in option.split(|c: char| !c.is_ascii_alphanumeric()) {
        let part = part.to_ascii_lowercase();
        let two = format!("{previous}{part}");
        let said = |word: &&str| part == **word || two == **word || (word.len() > 5 && part.ends_with(*word));
        if SECRETS.iter().any(said) {
            return true;
        }
        previous = part;
    }
    false
}

/// `https://user:password@host/` becomes `https://[redacted]@host/`.
pub fn user_information(argument: &mut String) {
    let Some(scheme) = argument.find("://") else { return };
    let authority = scheme + 3;
    let end = argument[authority..].find(['/', '?', '#']).map_or(argument.len(), |at| authority + at);
    // A password may hold an unescaped '@'; the host cannot.
    if let Some(at) = argument[authority..end].rfind('@') {
        argument.replace_range(authority..authority + at, REDACTED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let table: [(&[&str], &[&str]); 17] = [
            (
                &["app", "--password", "x", "--port", "80"],
                &["app", "--password", "[redacted]", "--port", "80"],
            ),
            (&["app", "--db-password=x"], &["app", "--db-password=[redacted]"]),
            (&["java", "-Dapi.key=x", "-jar", "a.jar"], &["java", "-Dapi.key=[redacted]", "-jar", "a.jar"]),
            (
                &["java", "-Djavax.net.ssl.keyStorePassword=x"],
                &["java", "-Djavax.net.ssl.keyStorePassword=[redacted]"],
            ),
            (&["env", "GITHUB_TOKEN=x", "app"], &["env", "GITHUB_TOKEN=[redacted]", "app"]),
            (&["app", "--token", "--verbose"], &["app", "--token", "--verbose"]),
            (&["curl", "https://me:p@ss@host/a?b=c"], &["curl", "https://[redacted]@host/a?b=c"]),
            (&["app", "--dsn=postgres://u:p@db/x"], &["app", "--dsn=postgres://[redacted]@db/x"]),
            (&["app", "--brokers=a@b"], &["app", "--brokers=a@b"]),
            (&["python3", "-c", "print(1)", "x"], &["python3", "-c", "[redacted]", "x"]),
            (&["-bash", "-c", "mysql -pX"], &["-bash", "-c", "[redacted]"]),
            (&["sh", "-ec", "x"], &["sh", "-ec", "[redacted]"]),
            (&["sh", "-e", "run.sh"], &["sh", "-e", "run.sh"]),
            (&["python3", "gunicorn", "-c", "conf.py"], &["python3", "gunicorn", "-c", "conf.py"]),
            (&["nginx", "-c", "/etc/nginx.conf"], &["nginx", "-c", "/etc/nginx.conf"]),
            (
                &["app", "--author=me", "--compass", "n", "--bypass=1"],
                &["app", "--author=me", "--compass", "n", "--bypass=1"],
            ),
            (&["/srv/token/app", "/etc/password file=1"], &["/srv/token/app", "/etc/password file=1"]),
        ];
        for (before, after) in table {
            let mut redacted: Vec<String> = before.iter().map(ToString::to_string).collect();
            arguments(&mut redacted);
            assert_eq!(redacted, after, "{before:?}");
        }
    }
}
