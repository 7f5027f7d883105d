# shellcheck shell=bash
# Kafka: one node that is all of the cluster, from Maven Central's jars.

kafka_java=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true
    -Dorg.slf4j.simpleLogger.dateTimeFormat="yyyy-MM-dd HH:mm:ss.SSS" -cp "$jars/*")

fetch_kafka() {
    [[ ! -s $jars/complete ]] || return 0
    mkdir -p "$jars"
    (
        flock 8
        [[ ! -s $jars/complete ]] || exit 0
        say "fetching Kafka's jars (45 MB) with mvn, into $jars"
        thrice mvn -B -q -f "$here/service/kafka.xml" dependency:copy-dependencies \
            -DoutputDirectory="$jars" >"$folder/mvn.log" 2>&1 </dev/null 9>&- || {
            tail -n 20 "$folder/mvn.log" >&2
            die "mvn could not fetch Kafka"
        }
        date >"$jars/complete"
    ) 8>"$jars/.lock"
}

# Loaded classes, kept in a form that a JVM of the same build maps into memory: half the start.
class_archive() { echo "$jars/classes-$(java -Xinternalversion 2>&1 | cksum | cut -d' ' -f1).jsa"; }

start_kafka() {
    local archive own=$folder/kafka options=()
    kafka_properties >"$own/properties"
    if [[ ! -e $own/data/meta.properties ]]; then
        "${kafka_java[@]}" kafka.tools.StorageTool format --config "$own/properties" \
            --cluster-id="$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')" \
            --add-scram "SCRAM-SHA-512=[name=chat,password=$(value DB_PASSWORD)]" \
            >>"$own/log" 2>&1
    fi
    archive=$(class_archive)
    if [[ -s $archive ]]; then
        options+=("-XX:SharedArchiveFile=$archive")
    else
        options+=("-XX:ArchiveClassesAtExit=$own/classes.jsa")
    fi
    # shellcheck disable=SC2206 # several options in one variable
    options+=(${KAFKA_JAVA_OPTS:-})
    spawn kafka "${kafka_java[@]}" "${options[@]}" kafka.Kafka "$own/properties"
}

# What differs from Kafka's defaults.
kafka_properties() {
    local port password
    port=$(port_of kafka)
    password=$(value DB_PASSWORD)
    cat <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1)),SSL://127.0.0.1:$(port_of kafka-ssl),SASL://127.0.0.1:$(port_of kafka-sasl)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL:SASL_SSL
controller.listener.names=CONTROLLER
ssl.keystore.type=PEM
ssl.keystore.location=$folder/tls/kafka.pem
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_chat="$password";
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs=$folder/kafka/data
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
# roomcast makes its topics, and nobody makes one by accident
auto.create.topics.enable=false
# the first consumer of a group need not wait for company
group.initial.rebalance.delay.ms=0
# a broker that was killed may come back when its old session has run out: 9 s by default
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# small: a heap of 256 MB has no room for the cleaner's usual 128
log.cleaner.dedupe.buffer.size=2097152
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
num.network.threads=2
num.io.threads=4
END
}

# The broker opens its port when it is registered and has caught up.
answers_kafka() { is_open "$(port_of kafka)"; }

version_kafka() { echo "Kafka ${jars##*-}"; }

end_kafka() {
    local archive=$folder/kafka/classes.jsa kept
    signal TERM kafka
    await 30 is_gone kafka || return
    [[ -s $archive ]] || return 0
    kept=$(class_archive)
    # A neighbour may do the same: renamed, so that nobody sees half of it.
    cp "$archive" "$kept.$$" && mv "$kept.$$" "$kept" && rm "$archive"
}
