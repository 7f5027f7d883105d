# shellcheck shell=bash
# Certificates for this machine, so that the services speak TLS beside what they speak anyway.

make_certificates() {
    local own=$folder/tls curve=ec_paramgen_curve:prime256v1
    [[ ! -e $own ]] || return 0
    rm -rf "$own.new"
    mkdir "$own.new"
    (
        cd "$own.new"
        umask 077
        openssl req -x509 -newkey ec -pkeyopt $curve -nodes -days 3650 \
            -subj "/CN=roomcast tests" -keyout ca.key -out ca.pem
        openssl req -new -newkey ec -pkeyopt $curve -nodes \
            -subj "/CN=localhost" -keyout server.key -out server.csr
        echo "subjectAltName = DNS:localhost, IP:127.0.0.1" >names
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
            -extfile names -out server.pem
        # Kafka wants all in one, the key first.
        cat server.key server.pem ca.pem >kafka.pem
    ) >"$folder/openssl.log" 2>&1 || {
        tail -n 20 "$folder/openssl.log" >&2
        die "openssl could not make certificates"
    }
    mv "$own.new" "$own"
}
