# shellcheck shell=bash
# What dev/services installs: Debian's packages.

install_packages() {
    local missing=()
    command -v java >/dev/null || missing+=(default-jre-headless)
    [[ -s $jars/complete ]] || command -v mvn >/dev/null || missing+=(maven)
    [[ -x $postgres/postgres ]] || missing+=(postgresql-15)
    command -v valkey-server >/dev/null || missing+=(valkey-server)
    command -v openssl >/dev/null || missing+=(openssl)
    ((${#missing[@]})) || return 0

    command -v apt-get >/dev/null || die "install by hand, there is no apt-get: ${missing[*]}"
    say "installing Debian's ${missing[*]}"
    apt_logged update
    [[ " ${missing[*]} " != *" valkey-server "* ]] || apt-cache show valkey-server >/dev/null 2>&1 ||
        add_backports
    without_own_services apt_logged install --no-install-recommends "${missing[@]}"
    [[ -x $postgres/postgres ]] || die "there is no PostgreSQL 15 in $postgres"
}

apt_logged() {
    apt_get "$@" >>"$folder/apt.log" 2>&1 9>&- || {
        tail -n 20 "$folder/apt.log" >&2
        die "apt-get $1 failed"
    }
}

# Debian 12 has Valkey among its backports, which lie in the archive that apt uses already.
add_backports() {
    local archive suite list=/etc/apt/sources.list.d/roomcast-backports.sources
    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    # shellcheck disable=SC2016 # apt's own variables
    archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" |
        head -n 1)
    [[ -n $archive ]] || die "Debian's archive of $suite is not among apt's sources"
    say "adding the archive $suite-backports, in $list"
    as_root tee "$list" >/dev/null <<END
Types: deb
URIs: $archive
Suites: $suite-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
    apt_logged update
}

# The packages would start, and PostgreSQL's also make, an instance of their own.
without_own_services() {
    local policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.d
    local made=() status=0
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$policy"
        made+=("$policy")
    fi
    as_root mkdir -p "$clusters"
    echo 'create_main_cluster = false' | as_root tee "$clusters/roomcast.conf" >/dev/null
    made+=("$clusters/roomcast.conf")
    ("$@") || status=$?
    as_root rm -f "${made[@]}"
    return "$status"
}
