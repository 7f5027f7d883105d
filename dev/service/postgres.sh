# shellcheck shell=bash
# PostgreSQL, with a database and a user of its own.

start_postgres() {
    local own=$folder/postgres
    [[ $EUID != 0 ]] || chown postgres: "$own"
    install -m 600 "$folder/tls/server.pem" "$folder/tls/server.key" "$own"
    [[ $EUID != 0 ]] || chown postgres: "$own"/server.{pem,key}
    [[ -e $own/data ]] || make_database
    # After a crash this file names a process that is gone, or a zombie, which PostgreSQL takes
    # for a live one. That none runs here has been looked at.
    rm -f "$own/data/postmaster.pid"
    spawn postgres "${as_postgres[@]}" "$postgres/postgres" -D "$own/data"
}

# Tests remove databases in which a vacuum may be at work: hence the last line.
# The folder is there when all is in it: the database, its user, the settings.
make_database() {
    (
        cd "$folder/postgres"
        rm -rf new
        as postgres "$postgres/initdb" -D new -U postgres -E UTF8 --locale=C.UTF-8 \
            --auth-local=reject --auth-host=scram-sha-256 || exit
        as postgres tee -a new/postgresql.conf >/dev/null <<END
listen_addresses = '127.0.0.1'
port = $(port_of postgres)
unix_socket_directories = ''
max_connections = 200
ssl = on
ssl_cert_file = '$folder/postgres/server.pem'
ssl_key_file = '$folder/postgres/server.key'
timezone = 'UTC'
log_timezone = 'UTC'
END
        as postgres "$postgres/postgres" --single -c exit_on_error=on -D new postgres <<END || exit
CREATE ROLE chat LOGIN CREATEDB PASSWORD '$(value DB_PASSWORD)'
CREATE DATABASE chat OWNER chat
GRANT pg_signal_backend TO chat
END
        mv new data
    ) >>"$folder/postgres/log" 2>&1 9>&- || start_failed postgres
}

answers_postgres() { "$postgres/pg_isready" -q -t 2 -h 127.0.0.1 -p "$(port_of postgres)"; }

version_postgres() { "$postgres/postgres" --version | sed "s/ (PostgreSQL)//; s/^postgres/PostgreSQL/; s/ (.*//"; }

end_postgres() {
    as postgres "$postgres/pg_ctl" stop -s -m fast -t 30 -D "$folder/postgres/data" \
        >>"$folder/postgres/log" 2>&1
}
