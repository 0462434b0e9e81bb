#!/bin/bash
# A standalone Spark master or worker from PySpark: `spark.sh master`, `spark.sh worker spark://host:7077`.
# Master, workers and drivers ask each other for SPARK_AUTH_SECRET: who may submit runs code as this user.
set -euo pipefail
: "${SPARK_AUTH_SECRET:?}"
umask 077
cat >/tmp/spark.properties <<END
spark.authenticate true
spark.authenticate.secret $SPARK_AUTH_SECRET
spark.ui.killEnabled false
spark.master.rest.enabled false
spark.worker.cleanup.enabled true
spark.port.maxRetries 0
END
unset SPARK_AUTH_SECRET
SPARK_HOME=$(python -c "import importlib.util as u; print(u.find_spec('pyspark').submodule_search_locations[0])")
export SPARK_HOME SPARK_SCALA_VERSION=2.13 SPARK_LOCAL_DIRS=/tmp
host=$(hostname)
case $1 in
    master)
        exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master \
            --properties-file /tmp/spark.properties --host "${SPARK_HOST:-$host}" --port 7077 --webui-port 8080
        ;;
    worker)
        exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker \
            --properties-file /tmp/spark.properties --host "$host" --port 7078 --webui-port 8081 \
            --cores "${SPARK_CORES:-2}" --memory "${SPARK_MEMORY:-2g}" --work-dir /tmp/spark "$2"
        ;;
    *)
        echo "spark.sh: say master or worker, not $1" >&2
        exit 2
        ;;
esac
