{{- /* What no schema can say: which values need one another. */ -}}
{{- define "atalaya.check" -}}
{{- $v := .Values -}}
{{- $outside := list -}}
{{- if not $v.postgresql.bundled }}{{ $outside = append $outside "PostgreSQL (or set postgresql.bundled)" }}{{ end -}}
{{- if not $v.redis.bundled }}{{ $outside = append $outside "Redis (or set redis.bundled)" }}{{ end -}}
{{- if and (not $v.kafka.bundled) $v.kafka.hasSecretConfig }}{{ $outside = append $outside "Kafka (or set kafka.bundled, or kafka.hasSecretConfig to false)" }}{{ end -}}
{{- if and (not $v.mlflow.enabled) $v.mlflow.username }}{{ $outside = append $outside "MLflow's password" }}{{ end -}}
{{- if and $v.mlflow.enabled (not $v.postgresql.bundled) }}{{ $outside = append $outside "MLflow's database" }}{{ end -}}
{{- if eq $v.airflow.auth "service" }}{{ $outside = append $outside "Airflow's password" }}{{ end -}}
{{- with $v.secretSettings }}{{ $outside = append $outside (join " and " .) }}{{ end -}}
{{- if $v.spark.authenticates }}{{ $outside = append $outside "Spark's secret" }}{{ end -}}
{{- if and $outside (not $v.existingSecret) -}}
{{- fail (printf "existingSecret is empty: name a Secret that holds the settings for %s." (join ", " $outside)) -}}
{{- end -}}
{{- if and (not $v.kafka.bundled) (not $v.kafka.bootstrap) -}}
{{- fail "kafka.bootstrap is empty: name the brokers as host:port,host:port, or set kafka.bundled." -}}
{{- end -}}
{{- if and (not $v.mlflow.enabled) (not $v.mlflow.url) -}}
{{- fail "mlflow.url is empty: name MLflow's address, or set mlflow.enabled." -}}
{{- end -}}
{{- if not $v.airflow.url -}}
{{- fail "airflow.url is empty: name the address of Airflow's API server, http://atalaya-airflow-api-server:8080 for the release that docs/kubernetes.md installs." -}}
{{- end -}}
{{- if and (eq $v.airflow.auth "service") (not $v.airflow.username) -}}
{{- fail "airflow.username is empty, which airflow.auth=service needs." -}}
{{- end -}}
{{- if and $v.spark.kubernetes.enabled (not $v.spark.kubernetes.image) -}}
{{- fail "spark.kubernetes.image is empty: name an image with Spark's own entrypoint for executors." -}}
{{- end -}}
{{- if and $v.ingress.enabled (lt (int $v.proxyCount) 1) -}}
{{- fail "proxyCount is 0, but the ingress is a proxy: set it to 1, else everybody has the ingress's address." -}}
{{- end -}}
{{- if and (hasPrefix "https://" $v.publicUrl) (lt (int $v.proxyCount) 1) -}}
{{- fail "proxyCount is 0, but publicUrl has https: set it to how many proxies stand before the console, the one that ends TLS among them." -}}
{{- end -}}
{{- end -}}
