//! php-fpm behind nginx.

use std::path::Path;

use crate::{Netns, Place, Running, nginx};

const SERVER: &str = "/usr/sbin/php-fpm8.2";

/// Whether php-fpm is installed; says that the test is skipped if it is not.
#[must_use]
pub fn has_php_fpm() -> bool {
    let found = Path::new(SERVER).exists();
    if !found {
        println!("skipped: php-fpm is not installed");
    }
    found
}

/// php-fpm with one worker, listening on `port`.
#[must_use]
pub fn php_fpm(netns: &Netns, place: &Place, port: u16) -> Running {
    let settings = format!(
        "[global]\nerror_log = {folder}/fpm.log\ndaemonize = no\npid = {folder}/fpm.pid\n
[www]\nuser = root\ngroup = root\nlisten = 127.0.0.1:{port}\npm = static\npm.max_children = 1\n
php_admin_value[display_errors] = 0\nphp_admin_value[log_errors] = 1\n",
        folder = place.path().display()
    );
    let file = place.write("fpm.conf", settings);
    // `-R`: as root, as the tests are.
    netns.program(SERVER).args(["-R", "-F", "-n", "-y"]).arg(file).listen(port)
}

/// nginx on `port`, which asks php-fpm on `application` over one connection that it keeps, and answers with the scripts in
/// `place`/www.
#[must_use]
pub fn nginx_with_php(netns: &Netns, place: &Place, port: u16, application: u16) -> Running {
    let servers = format!(
        "upstream php {{ server 127.0.0.1:{application}; keepalive 1; }}
server {{
    listen 127.0.0.1:{port};
    location / {{
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME {folder}/www/index.php;
        fastcgi_param SCRIPT_NAME /index.php;
        fastcgi_keep_conn on;
        fastcgi_pass php;
    }}
}}",
        folder = place.path().display()
    );
    nginx(netns, place, port, &servers)
}
