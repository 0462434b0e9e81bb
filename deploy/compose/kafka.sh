#!/bin/sh
# Kafka as docker-compose.yml starts it: broker and controller in one process (KRaft), one account for clients and
# for itself. Where the image has no scripts of Kafka's own, KAFKA_JARS is the folder of its jars.
set -eu
: "${KAFKA_USER:?}" "${KAFKA_PASSWORD:?}" "${KAFKA_CLUSTER_ID:?}" "${KAFKA_DATA:?}"
case "$KAFKA_PASSWORD" in
    *[\"\\]*)
        echo 'ATALAYA_SECRET_KAFKA holds " or \: choose another.' >&2
        exit 1
        ;;
esac
jaas="org.apache.kafka.common.security.plain.PlainLoginModule required username=\"$KAFKA_USER\" password=\"$KAFKA_PASSWORD\" user_$KAFKA_USER=\"$KAFKA_PASSWORD\";"
umask 077
cat >/tmp/kafka.properties <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENTS
listeners=CLIENTS://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093
advertised.listeners=CLIENTS://${KAFKA_ADVERTISED_HOST:-kafka}:9092
listener.security.protocol.map=CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.clients.plain.sasl.jaas.config=$jaas
listener.name.controller.plain.sasl.jaas.config=$jaas
log.dirs=$KAFKA_DATA
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
END
if [ -n "${KAFKA_JARS:-}" ]; then
    java -cp "$KAFKA_JARS/*" kafka.tools.StorageTool format --ignore-formatted -t "$KAFKA_CLUSTER_ID" -c /tmp/kafka.properties
    exec java ${KAFKA_HEAP_OPTS:--Xmx512m} -cp "$KAFKA_JARS/*" kafka.Kafka /tmp/kafka.properties
fi
export LOG_DIR=/tmp/kafka-logs
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted -t "$KAFKA_CLUSTER_ID" -c /tmp/kafka.properties
exec /opt/kafka/bin/kafka-server-start.sh /tmp/kafka.properties
