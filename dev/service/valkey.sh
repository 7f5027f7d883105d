# shellcheck shell=bash
# Valkey: presence lives for a minute, so that nothing is written to the disk.

start_valkey() {
    spawn valkey valkey-server --bind 127.0.0.1 --port "$(port_of valkey)" --save '' --appendonly no \
        --tls-port "$(port_of valkey-tls)" --tls-auth-clients no --tls-ca-cert-file "$folder/tls/ca.pem" \
        --tls-cert-file "$folder/tls/server.pem" --tls-key-file "$folder/tls/server.key"
}

answers_valkey() { [[ $(timeout 2 valkey-cli -p "$(port_of valkey)" ping 2>/dev/null) == PONG ]]; }

version_valkey() { valkey-server --version | sed -E "s/.* v=([^ ]+).*/Valkey \\1/"; }

end_valkey() {
    signal TERM valkey
    await 30 is_gone valkey
}
