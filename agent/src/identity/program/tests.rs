use super::*;

struct Case<'a> {
    executable: &'a str,
    directory: &'a str,
    arguments: Vec<&'a str>,
}

/// A command line as a shell would show it, run as `executable` in `directory`.
fn case<'a>(executable: &'a str, directory: &'a str, line: &'a str) -> Case<'a> {
    Case { executable, directory, arguments: line.split(' ').filter(|word| !word.is_empty()).collect() }
}

fn program(case: &Case<'_>) -> Program {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    of(&ProcessFacts {
        pid: 1,
        executable: text(case.executable),
        working_directory: text(case.directory),
        arguments: case.arguments.iter().map(ToString::to_string).collect(),
        ..ProcessFacts::default()
    })
}

#[track_caller]
fn scripts(executable: &str, table: &[(&str, &str, &str)]) {
    for (directory, line, expected) in table {
        let program = program(&case(executable, directory, line));
        assert_eq!((program.name.as_str(), program.is_script), (*expected, true), "{line} in {directory:?}");
    }
}

#[track_caller]
fn executables(table: &[(&str, &str, &str, &str)]) {
    for (executable, directory, line, expected) in table {
        let program = program(&case(executable, directory, line));
        assert_eq!((program.name.as_str(), program.is_script), (*expected, false), "{executable}: {line}");
    }
}

#[test]
fn python() {
    scripts(
        "/usr/bin/python3.11",
        &[
            ("", "python3 app.py", "app"),
            ("/srv/shop", "python3 app.py", "app"),
            ("", "/opt/venv/bin/python -u -W ignore -X dev /srv/x/orders.py --port 80", "orders"),
            ("", "python3 -uB -Wignore orders.py", "orders"),
            ("", "python3 -- -odd.py", "-odd"),
            ("", "python3 -m pkg.mod --flag", "pkg.mod"),
            ("", "python3 -Im pkg.mod", "pkg.mod"),
            ("", "python3 -m pkg.__main__", "pkg"),
            ("", "python3 -m http.server 8000", "http.server"),
            ("", "python3 /srv/shop/main.py", "shop"),
            ("", "python3 /srv/shop/src/main.py", "shop"),
            ("/srv/shop", "python3 src/main.py", "shop"),
            ("/srv/shop", "python3 ./main.py", "shop"),
            ("/app", "python3 main.py", "main"),
            ("", "python3 main.py", "main"),
            ("", "python3 /app/main.py", "main"),
            ("", "python3 /home/alice/main.py", "main"),
            ("", "python3 /home/alice/shop/main.py", "shop"),
            ("", "python3 /tmp/tmpx81_b2/main.py", "main"),
            ("", "python3 /opt/shop/releases/20240131120000/main.py", "shop"),
            ("/srv/shop", "python3 manage.py runserver 0.0.0.0:8000", "shop"),
            ("", "python3 shop.pyz", "shop"),
        ],
    );
    executables(&[
        ("/usr/bin/python3.11", "", "python3", "python"),
        ("/usr/bin/python3.11", "", "python3 -c [redacted] x", "python"),
        ("/usr/bin/python3.11", "", "python3 - x", "python"),
        ("/usr/bin/pypy3.9", "", "pypy3", "pypy"),
        ("/usr/bin/python3.11 (deleted)", "", "python3 -i", "python"),
    ]);
}

#[test]
fn python_servers() {
    scripts(
        "/usr/bin/python3.11",
        &[
            ("", "/usr/bin/python3 /usr/bin/gunicorn shop.wsgi", "shop"),
            ("", "python3 /venv/bin/gunicorn -w 4 -b 0.0.0.0:8000 shop.wsgi:application", "shop"),
            ("", "python3 gunicorn -k uvicorn.workers.UvicornWorker shop.main:app", "shop"),
            ("", "python3 gunicorn --log-level info --preload shop:create_app()", "shop"),
            ("", "python3 gunicorn --bind unix:/run/shop.sock acme.shop.wsgi", "acme.shop"),
            ("", "python3 gunicorn --bind localhost:8000 shop", "shop"),
            ("", "python3 gunicorn --user www --preload shop", "shop"),
            ("/srv/shop", "python3 gunicorn main:app", "shop"),
            ("/", "python3 gunicorn --chdir /srv/shop wsgi:app", "shop"),
            ("/app", "python3 gunicorn main:app", "main"),
            ("", "python3 gunicorn app:app", "app"),
            ("", "python3 -m gunicorn shop.wsgi", "shop"),
            ("", "python3 -m gunicorn -c conf.py", "gunicorn"),
            ("", "python3 /usr/local/bin/uvicorn shop.main:app --host 0.0.0.0 --port 80", "shop"),
            ("", "python3 -m uvicorn orders:app --reload", "orders"),
            ("", "python3 /venv/bin/celery -A shop worker -l info", "shop"),
            ("", "python3 /venv/bin/celery --app=shop.celery:app beat", "shop"),
            ("/srv/shop", "python3 /venv/bin/celery worker", "shop"),
            ("", "python3 /venv/bin/flask --app shop run", "shop"),
            ("", "python3 /venv/bin/flask --app shop/orders.py run", "orders"),
            ("/srv/shop", "python3 /venv/bin/flask run", "shop"),
            ("", "python3 -m flask run", "flask"),
            ("", "python3 /venv/bin/streamlit run dash.py", "dash"),
            ("", "python3 -m debugpy --listen 5678 orders.py", "orders"),
        ],
    );
    // Known from their exec events only: the kernel tells the script's name, not the interpreter's.
    scripts("", &[("", "/venv/bin/gunicorn shop.wsgi", "shop"), ("", "uvicorn shop:app", "shop")]);
    scripts(
        "/usr/bin/uwsgi",
        &[
            ("", "uwsgi --http :80 --module shop.wsgi", "shop"),
            ("", "uwsgi --wsgi-file /srv/shop/wsgi.py", "shop"),
            ("", "uwsgi --ini /etc/uwsgi/shop.ini", "shop"),
        ],
    );
    executables(&[("/usr/bin/uwsgi", "", "uwsgi --ini uwsgi.ini", "uwsgi")]);
    let worker = case("/usr/bin/python3", "", "python3 -c [redacted] --multiprocessing-fork");
    assert!(program(&worker).works_for_parent);
}

#[test]
fn node_and_its_like() {
    scripts(
        "/usr/bin/node",
        &[
            ("", "node server.js", "server"),
            ("/srv/shop", "node server.js", "server"),
            (
                "",
                "node --max-old-space-size=512 -r dotenv/config --import ./otel.mjs dist/orders.mjs",
                "orders",
            ),
            ("/srv/shop", "node index.js", "shop"),
            ("", "node /srv/shop/dist/index.js", "shop"),
            ("", "node /srv/shop/server/index.js", "shop"),
            ("/usr/src/app", "node index.js", "index"),
            ("/srv/shop", "node ./bin/www", "shop"),
            ("/srv/shop", "node node_modules/.bin/next start", "shop"),
            ("", "node /srv/shop/node_modules/.bin/next start", "shop"),
            ("/app", "node /app/node_modules/.bin/next start", "next"),
            ("/", "node /usr/lib/node_modules/npm/bin/npm-cli.js start", "npm"),
            ("/", "node /usr/local/lib/node_modules/@acme/gateway/cli.js", "gateway"),
            ("/srv/shop", "node /usr/local/bin/ts-node src/orders.ts", "orders"),
        ],
    );
    scripts("/usr/bin/node", &[("", "shop", "shop")]);
    executables(&[
        ("/usr/bin/node", "", "node", "node"),
        ("/usr/bin/node", "", "node -e [redacted]", "node"),
        ("/usr/bin/node", "", "/usr/bin/node --eval x", "node"),
    ]);
    scripts(
        "/usr/bin/deno",
        &[("", "deno run --allow-net -A orders.ts", "orders"), ("/srv/shop", "deno serve main.ts", "shop")],
    );
    scripts(
        "/usr/bin/bun",
        &[
            ("", "bun orders.ts", "orders"),
            ("", "bun run src/orders.ts", "orders"),
            ("/srv/shop", "bun run start", "shop"),
        ],
    );
}

#[test]
fn java() {
    scripts(
        "/usr/lib/jvm/java-21/bin/java",
        &[
            ("", "java -jar foo-1.2.jar", "foo"),
            (
                "",
                "java -Xmx1g -XX:+UseG1GC -javaagent:/a.jar -jar /opt/foo-service-1.2.0-SNAPSHOT.jar --x",
                "foo-service",
            ),
            ("", "java -jar foo-all.jar", "foo"),
            ("", "java -jar foo-2.0-jar-with-dependencies.jar", "foo"),
            ("", "java -jar app.jar", "app"),
            ("", "java -jar /srv/shop/quarkus-app/quarkus-run.jar", "shop"),
            ("", "java -jar jenkins.war", "jenkins"),
            ("", "java -cp /a.jar:/b.jar com.acme.OrderService --port 80", "OrderService"),
            ("", "java -classpath x --add-opens java.base/java.lang=ALL-UNNAMED com.acme.shop.Main", "shop"),
            ("", "java --add-opens=java.base/java.lang=ALL-UNNAMED -cp x com.acme.shop.Application", "shop"),
            ("", "java -cp x Main", "Main"),
            ("", "java -cp x com.acme.Orders$Main", "Orders"),
            ("", "java -p mods -m acme.shop/com.acme.Orders", "Orders"),
            ("", "java --module=acme.shop/com.acme.Orders", "Orders"),
            ("", "java @args.txt com.acme.Orders", "Orders"),
            ("", "java /srv/Orders.java", "Orders"),
            ("", "java -cp x -Dcatalina.home=/t org.apache.catalina.startup.Bootstrap start", "tomcat"),
            ("", "java -cp x kafka.Kafka /etc/kafka.properties", "kafka"),
            (
                "",
                "java -Des.path=x -m org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch",
                "elasticsearch",
            ),
            ("/srv/shop", "java org.springframework.boot.loader.launch.JarLauncher", "shop"),
            ("", "java -Dspring.application.name=orders -jar app.jar", "orders"),
            ("", "java -jar app.jar --spring.application.name=orders", "orders"),
        ],
    );
    executables(&[
        ("/usr/bin/java", "", "java -version", "java"),
        ("/usr/bin/java", "/app", "java org.springframework.boot.loader.JarLauncher", "java"),
    ]);
    let declared = program(&case(
        "/usr/bin/java",
        "",
        "java -Dotel.service.name=shop -Dotel.resource.attributes=a=b,c=d -jar app.jar",
    ));
    assert_eq!(declared.declared_name.as_deref(), Some("shop"));
    assert_eq!(declared.declared_attributes.as_deref(), Some("a=b,c=d"));
}

#[test]
fn other_interpreters() {
    scripts(
        "/usr/bin/ruby3.1",
        &[
            ("", "ruby orders.rb", "orders"),
            ("", "ruby -I lib -rbundler/setup orders.rb", "orders"),
            ("/srv/shop", "ruby bin/rails server", "shop"),
            ("", "ruby /srv/shop/bin/rails server", "shop"),
            ("/srv/shop", "ruby /usr/local/bundle/bin/puma -C config/puma.rb", "shop"),
            ("/app", "ruby /usr/local/bin/rackup", "rackup"),
        ],
    );
    scripts(
        "/usr/bin/php8.2",
        &[
            ("", "php orders.php", "orders"),
            ("", "php -d memory_limit=1G -f orders.php", "orders"),
            ("/var/www/shop", "php artisan queue:work", "shop"),
            ("", "php /var/www/shop/public/index.php", "shop"),
            ("/srv/shop", "php -S 0.0.0.0:8000 -t public", "shop"),
            ("/", "php -S 0.0.0.0:8000 -t /var/www/shop/public", "shop"),
            ("/srv/shop", "php -S 0.0.0.0:8000 router.php", "router"),
        ],
    );
    scripts(
        "/usr/bin/perl",
        &[
            ("", "perl -w -I lib -MCarp orders.pl", "orders"),
            ("/srv/shop", "perl /usr/bin/plackup -p 80 orders.psgi", "orders"),
        ],
    );
    scripts(
        "/usr/bin/bash",
        &[
            ("", "/bin/bash /usr/local/bin/orders.sh -c x", "orders"),
            ("", "bash -o pipefail -ex orders", "orders"),
            ("", "bash /srv/shop/entrypoint.sh", "shop"),
        ],
    );
    scripts(
        "/usr/bin/dotnet",
        &[
            ("", "dotnet app.dll", "app"),
            ("", "dotnet /srv/Shop.Api.dll --urls http://*:80", "Shop.Api"),
            ("", "dotnet exec --runtimeconfig x.json /srv/Shop.Api.dll", "Shop.Api"),
            ("", "dotnet run --project src/Shop.Api/Shop.Api.csproj", "Shop.Api"),
            ("/srv/shop", "dotnet watch", "shop"),
        ],
    );
    scripts(
        "/usr/lib/erlang/erts-14/bin/beam.smp",
        &[
            ("", "beam.smp -W w -- -root /usr -sname shop@host -noinput", "shop"),
            ("", "beam.smp -- -name rabbit@mq-1", "rabbitmq"),
        ],
    );
    scripts("/usr/bin/lua5.4", &[("", "lua -l socket orders.lua", "orders")]);
    scripts("/usr/lib/R/bin/exec/R", &[("", "R --no-echo --no-restore --file=orders.R", "orders")]);
    executables(&[
        ("/usr/bin/ruby3.1", "", "ruby -e [redacted]", "ruby"),
        ("/usr/bin/php8.2", "", "php -r [redacted]", "php"),
        ("/usr/bin/bash", "", "-bash", "bash"),
        ("/usr/bin/bash", "", "bash -c [redacted]", "bash"),
        ("/usr/bin/dash", "", "sh", "dash"),
        ("/usr/bin/bash", "", "bash /dev/fd/63", "bash"),
        ("/usr/bin/perl", "", "perl - x", "perl"),
        ("/usr/bin/dotnet", "", "dotnet build", "dotnet"),
        ("/usr/lib/erlang/beam.smp", "", "beam.smp -noshell", "beam.smp"),
    ]);
}

#[test]
fn titles() {
    let title = |executable: &str, directory: &str, title: &str| {
        let case = Case { executable, directory, arguments: vec![title] };
        let program = program(&case);
        (program.name, program.is_script)
    };
    let script = |name: &str| (name.to_owned(), true);
    let executable = |name: &str| (name.to_owned(), false);
    let (python, ruby, node) = ("/usr/bin/python3.11", "/usr/bin/ruby3.1", "/usr/bin/node");
    assert_eq!(title("/usr/sbin/nginx", "", "nginx: worker process"), executable("nginx"));
    assert_eq!(title("", "", "nginx: master process /usr/sbin/nginx -g daemon off;"), executable("nginx"));
    assert_eq!(
        title("/usr/lib/postgresql/15/bin/postgres", "", "postgres: checkpointer "),
        executable("postgres")
    );
    assert_eq!(title("/usr/sbin/php-fpm8.2", "", "php-fpm: pool www"), executable("php-fpm"));
    assert_eq!(title("/usr/sbin/php-fpm8.2", "", "php-fpm: pool shop"), script("shop"));
    assert_eq!(
        title("/usr/sbin/php-fpm8.2", "", "php-fpm: master process (/etc/php-fpm.conf)"),
        executable("php-fpm")
    );
    assert_eq!(title(python, "", "gunicorn: worker [shop.wsgi]"), script("shop"));
    assert_eq!(title(python, "/srv/shop", "gunicorn: master [main:app]"), script("shop"));
    assert_eq!(
        title(python, "", "[celeryd: celery@host:MainProcess] -active- (worker -A shop -l info)"),
        script("shop")
    );
    assert_eq!(title(ruby, "", "puma 6.4.0 (tcp://0.0.0.0:3000) [shop]"), script("shop"));
    assert_eq!(title(ruby, "", "puma: cluster worker 0: 17 [shop]"), script("shop"));
    assert_eq!(title(ruby, "", "sidekiq 7.2.0 shop [0 of 5 busy]"), script("shop"));
    assert_eq!(
        title(ruby, "/srv/shop/current", "unicorn master -c config/unicorn.rb -E production"),
        script("shop")
    );
    assert_eq!(title(ruby, "", "Passenger RubyApp: /var/www/shop (production)"), script("shop"));
    assert_eq!(title(node, "", "node /srv/orders.js --port 80"), script("orders"));
    assert_eq!(title(node, "", "orders worker 3"), script("orders"));
    assert_eq!(title(node, "", "npm start"), script("npm"));
    assert_eq!(title("/usr/sbin/sshd", "", "sshd: alice [priv]"), executable("sshd"));
}

#[test]
fn native_executables() {
    executables(&[
        ("/usr/sbin/nginx", "", "nginx -g x", "nginx"),
        ("/usr/local/bin/shop (deleted)", "", "./shop", "shop"),
        ("/memfd:shop (deleted)", "", "x", "shop"),
        ("", "", "/srv/bin/shop --port 80", "shop"),
        ("/usr/bin/7z", "", "7z", "7z"),
        ("/usr/bin/redis-server", "", "redis-server *:6379", "redis-server"),
        ("/nix/store/x/bin/.shop-wrapped", "", "shop", "shop"),
        ("/tmp/go-build1234/b001/exe/shop", "/srv/x", "/tmp/go-build1234/b001/exe/shop", "shop"),
        ("/tmp/go-build1234/b001/exe/main", "/srv/shop", "/tmp/go-build1234/b001/exe/main", "shop"),
        ("/root/.cache/go-build/ab/main", "/srv/shop", "x", "shop"),
        ("/srv/shop/__debug_bin123", "/srv/shop", "x", "shop"),
        ("/srv/shop/main", "/", "./main", "shop"),
        ("/app/main", "/app", "./main", "main"),
        ("/app/server", "/app", "./server", "server"),
        ("/bin/busybox", "", "httpd -f -p 80", "httpd"),
        ("/bin/busybox", "", "busybox httpd -f", "httpd"),
        ("/bin/busybox", "", "busybox", "busybox"),
        ("/bin/busybox", "", "sh", "sh"),
        ("/lib64/ld-linux-x86-64.so.2", "", "ld.so /srv/shop --x", "shop"),
        ("/usr/bin/qemu-aarch64-static", "", "qemu-aarch64-static /srv/shop", "shop"),
        ("/usr/bin/qemu-system-x86_64", "", "qemu-system-x86_64 -m 1G disk", "qemu-system-x86_64"),
    ]);
    scripts("/bin/busybox", &[("", "/bin/sh /srv/orders.sh", "orders")]);
    scripts("/usr/bin/qemu-aarch64", &[("", "qemu-aarch64 /usr/bin/python3 orders.py", "orders")]);
    let facts = ProcessFacts { name: "kworker/0:1".into(), ..ProcessFacts::default() };
    assert_eq!(of(&facts).name, "kworker/0:1");
    assert_eq!(of(&ProcessFacts::default()).name, "");
}

#[test]
fn runtimes() {
    let runtime = |executable: &str| {
        let runtime = program(&case(executable, "", "x")).runtime;
        runtime.map(|runtime| (runtime.name(), runtime.language()))
    };
    assert_eq!(runtime("/usr/bin/python3.11"), Some((Some("cpython"), "python")));
    assert_eq!(runtime("/usr/bin/node"), Some((Some("nodejs"), "nodejs")));
    assert_eq!(runtime("/usr/bin/java"), Some((None, "java")));
    assert_eq!(runtime("/usr/sbin/php-fpm8.2"), Some((Some("fpm-fcgi"), "php")));
    assert_eq!(runtime("/usr/bin/dotnet"), Some((Some(".NET"), "dotnet")));
    assert_eq!(runtime("/usr/sbin/nginx"), None);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Command lines are written by strangers: none of them ends the agent, and none leads outside its name.
        #[test]
        fn any_command_line_has_a_name(
            executable in prop::option::of("(/[a-z.:@ -]{0,9}){0,3}/(python3|node|java|ruby|perl|bash|dotnet|busybox|uwsgi|x)"),
            arguments in prop::collection::vec("[-a-z./:@=\\[\\]() é]{0,12}|-m|-c|-jar|--|gunicorn|celery", 0..8),
            directory in prop::option::of("(/[a-z.]{0,6}){0,4}"),
        ) {
            let facts = ProcessFacts {
                name: "comm".into(),
                executable,
                working_directory: directory,
                arguments,
                ..ProcessFacts::default()
            };
            let _ = of(&facts);
        }
    }
}
