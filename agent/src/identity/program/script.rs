//! What to call a script, by its path.

/// Extensions of scripts and of what virtual machines run.
const EXTENSIONS: [&str; 29] = [
    "py", "pyc", "pyz", "pyw", "js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx", "rb", "ru", "pl",
    "psgi", "php", "phar", "sh", "bash", "zsh", "lua", "jar", "war", "dll", "exe", "R", "exs", "cgi",
];

/// File names that every project has, so that they name none.
const AMBIGUOUS: [&str; 22] = [
    "index",
    "main",
    "__main__",
    "manage",
    "wsgi",
    "asgi",
    "www",
    "run",
    "start",
    "serve",
    "entrypoint",
    "docker-entrypoint",
    "bootstrap",
    "artisan",
    "console",
    "config",
    "a.out",
    "rails",
    "rake",
    "application",
    "quarkus-run",
    "launcher",
];

/// Folders that every project has, or that none of its own.
const FOLDERS: [&str; 59] = [
    "",
    ".",
    "..",
    "app",
    "apps",
    "application",
    "bin",
    "build",
    "classes",
    "cmd",
    "code",
    "current",
    "data",
    "debug",
    "deploy",
    "deployments",
    "dist",
    "docker",
    "env",
    "exe",
    "home",
    "html",
    "htdocs",
    "lib",
    "lib64",
    "libexec",
    "local",
    "main",
    "mnt",
    "node_modules",
    "opt",
    "out",
    "packages",
    "project",
    "public",
    "quarkus-app",
    "release",
    "releases",
    "root",
    "run",
    "sbin",
    "script",
    "scripts",
    "server",
    "share",
    "site",
    "src",
    "srv",
    "target",
    "tmp",
    "usr",
    "var",
    "venv",
    ".venv",
    "work",
    "workdir",
    "workspace",
    "www",
    "web-inf",
];

/// The name of the script at `path`; a relative path begins at `directory`, if that is known.
pub(super) fn name(path: &str, directory: Option<&str>) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    if let Some(package) = package(path, directory) {
        return package;
    }
    let stem = stem(file);
    if is_ambiguous(stem) {
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}/{path}", directory.unwrap_or(""))
        };
        let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
        if let Some(folder) = folder(folders) {
            return folder.to_owned();
        }
    }
    stem.to_owned()
}

/// Whether a name is one that every project has.
pub(super) fn is_ambiguous(stem: &str) -> bool {
    AMBIGUOUS.contains(&stem)
}

/// The last folder of a path whose name says something.
pub(super) fn folder(path: &str) -> Option<&str> {
    let folders: Vec<&str> = path.split('/').collect();
    (0..folders.len()).rev().map(|at| (at, folders[at])).find_map(|(at, folder)| {
        let lower = folder.to_ascii_lowercase();
        let numbered = folder.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
        // `/home/alice/main.py`: whose it is does not say what it is.
        let home = at >= 1 && folders[at - 1] == "home";
        let temporary =
            lower.starts_with("tmp") || lower.starts_with(".tmp") || lower.starts_with("go-build");
        let says_something = !FOLDERS.contains(&lower.as_str()) && !numbered && !home && !temporary;
        says_something.then_some(folder)
    })
}

/// A file name without the extension of a script.
pub(super) fn stem(file: &str) -> &str {
    match file.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && EXTENSIONS.contains(&extension) => stem,
        _ => file,
    }
}

/// `/srv/shop/node_modules/.bin/next` runs the project around `node_modules`; `/usr/lib/node_modules/npm/bin/…`, where
/// there is no project, the package in it.
fn package(path: &str, directory: Option<&str>) -> Option<String> {
    const MODULES: &str = "node_modules/";
    let at = match path.find("/node_modules/") {
        Some(at) => at + 1,
        None if path.starts_with(MODULES) => 0,
        None => return None,
    };
    let project = if path.starts_with('/') { &path[..at] } else { directory.unwrap_or("") };
    if let Some(folder) = folder(project) {
        return Some(folder.to_owned());
    }
    let mut inside = path[at + MODULES.len()..].split('/').filter(|part| !part.starts_with('@'));
    match inside.next()? {
        ".bin" => inside.next().map(|file| stem(file).to_owned()),
        package => Some(package.to_owned()),
    }
}
