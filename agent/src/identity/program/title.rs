//! Titles: what programs write over their arguments for `ps` to show.

use super::python::specification;
use super::{Command, Program, Runtime, native, operands, script};

/// The application that a title tells of, for the programs whose titles do; `called` is the executable's name.
pub(super) fn application(title: &str, called: &str, command: &Command<'_>) -> Option<String> {
    let words: Vec<&str> = title.split_whitespace().collect();
    let first = *words.first()?;
    match first {
        // gunicorn: master [shop.wsgi]
        "gunicorn:" => return Some(specification(brackets(title)?, command.directory)),
        // sidekiq 7.2.0 shop [0 of 5 busy]
        "sidekiq" => {
            return words.get(2).filter(|word| !word.starts_with('[')).map(|word| (*word).to_owned());
        }
        // puma 6.4.0 (tcp://0.0.0.0:3000) [shop]; puma: cluster worker 0: 17 [shop]
        "puma" | "puma:" => return brackets(title).map(str::to_owned),
        // Passenger RubyApp: /var/www/shop (production)
        "Passenger" => {
            return words
                .iter()
                .find(|word| word.starts_with('/'))
                .and_then(|path| script::folder(path))
                .map(str::to_owned);
        }
        // php-fpm: pool shop; `www` is what the pool is called that nobody named.
        "php-fpm:" if words.get(1) == Some(&"pool") => {
            return words.get(2).filter(|pool| **pool != "www").map(|pool| (*pool).to_owned());
        }
        // [celeryd: celery@host:MainProcess] -active- (worker -A shop)
        "[celeryd:" => {
            let inner = title.rsplit_once('(')?.1.trim_end_matches(')');
            let arguments: Vec<String> = inner.split_whitespace().map(str::to_owned).collect();
            let application = operands::value(&arguments, "--app", Some("-A"))?;
            return Some(specification(application, command.directory));
        }
        // unicorn master -c config/unicorn.rb; starman master /srv/shop/app.psgi
        "unicorn" | "unicorn_rails" | "starman" => {
            return command.directory.and_then(script::folder).map(str::to_owned).or(Some(first.to_owned()));
        }
        _ => {}
    }
    // Only of interpreters: `nginx: worker process` is nginx, `postgres: writer` is postgres.
    let runtime = Runtime::of(called)?;
    let looks_like_a_command = Runtime::of(first.rsplit('/').next().unwrap_or(first)) == Some(runtime);
    if looks_like_a_command {
        // The arguments with blanks between them: node server.js --port 80
        let arguments: Vec<String> = words[1..].iter().map(|word| (*word).to_owned()).collect();
        let command = Command { arguments: &arguments, directory: command.directory };
        return super::application(runtime, &command, &mut Program::default());
    }
    native::own_title(&[first.to_owned()], called)
}

/// What stands in the last pair of brackets.
fn brackets(title: &str) -> Option<&str> {
    let inner = title.rsplit_once('[')?.1;
    let inner = inner.split(']').next()?;
    (!inner.is_empty()).then_some(inner)
}
