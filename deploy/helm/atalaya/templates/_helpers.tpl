{{- define "atalaya.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "atalaya.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "atalaya.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "atalaya.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What pods are chosen by; never changes. Takes root and component. */ -}}
{{- define "atalaya.selector" -}}
app.kubernetes.io/name: {{ include "atalaya.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "atalaya.labels" -}}
{{ include "atalaya.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: atalaya
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "atalaya.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "atalaya.generatedSecret" -}}
{{ include "atalaya.fullname" . }}-generated
{{- end -}}

{{- define "atalaya.sharedClaim" -}}
{{ .Values.sharedStorage.existingClaim | default (printf "%s-shared" (include "atalaya.fullname" .)) }}
{{- end -}}

{{- /* Host names, with commas: what people type, what other pods use, and the pod's own address for probes. */ -}}
{{- define "atalaya.allowedHosts" -}}
{{- $public := (urlParse .Values.publicUrl).hostname -}}
{{- $web := printf "%s-web" (include "atalaya.fullname" .) -}}
{{- $inside := list $web (printf "%s.%s" $web .Release.Namespace) (printf "%s.%s.svc" $web .Release.Namespace) -}}
{{- concat (list $public) .Values.allowedHosts $inside (list "$(POD_IP)") | uniq | join "," -}}
{{- end -}}

{{- define "atalaya.mlflowUsername" -}}
{{ ternary "atalaya" .Values.mlflow.username .Values.mlflow.enabled }}
{{- end -}}

{{- /* Each secret setting and the Secret that holds it, as YAML. */ -}}
{{- define "atalaya.secretSources" -}}
{{- include "atalaya.check" . -}}
{{- $generated := include "atalaya.generatedSecret" . -}}
{{- $existing := .Values.existingSecret -}}
{{- $own := $existing | default $generated -}}
CONSOLE_SECRET_KEY: {{ $own }}
CONSOLE_RECORD_SECRETS: {{ $own }}
{{- if eq .Values.airflow.auth "jwt" }}
CONSOLE_AIRFLOW_JWT_SECRET: {{ $own }}
{{- else }}
CONSOLE_AIRFLOW_PASSWORD: {{ $existing }}
{{- end }}
CONSOLE_DATABASE_URL: {{ ternary $generated $existing .Values.postgresql.bundled }}
CONSOLE_USECASES_DATABASE_URL: {{ ternary $generated $existing .Values.postgresql.bundled }}
CONSOLE_REDIS_URL: {{ ternary $generated $existing .Values.redis.bundled }}
{{- if or .Values.kafka.bundled .Values.kafka.hasSecretConfig }}
CONSOLE_KAFKA_CONFIG: {{ ternary $generated $existing .Values.kafka.bundled }}
{{- end }}
{{- if include "atalaya.mlflowUsername" . }}
CONSOLE_MLFLOW_PASSWORD: {{ ternary $own $existing .Values.mlflow.enabled }}
{{- end }}
{{- if .Values.spark.authenticates }}
CONSOLE_SPARK_AUTH_SECRET: {{ $existing }}
{{- end }}
{{- range .Values.secretSettings }}
{{ . }}: {{ $existing }}
{{- end }}
{{- end -}}

{{- /* Ports that the console connects to outside of this release, as a list in JSON. */ -}}
{{- define "atalaya.egressPorts" -}}
{{- $v := .Values -}}
{{- $ports := $v.networkPolicy.egressPorts -}}
{{- if has "CONSOLE_EMAIL_URL" $v.secretSettings }}{{ $ports = concat $ports (list 25 465 587) }}{{ end -}}
{{- range list (ternary "" $v.mlflow.url $v.mlflow.enabled) $v.airflow.url (get $v.settings "OTEL_EXPORTER_OTLP_ENDPOINT") -}}
{{- with . -}}
{{- $address := urlParse . -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" $address.host | trimPrefix ":" | default (ternary "80" "443" (eq $address.scheme "http"))) -}}
{{- end -}}
{{- end -}}
{{- if not $v.kafka.bundled -}}
{{- range splitList "," $v.kafka.bootstrap }}{{ $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "9092") }}{{ end -}}
{{- end -}}
{{- $masters := list $v.spark.master -}}
{{- range $v.spark.targets }}{{ $masters = append $masters .master }}{{ end -}}
{{- range $masters -}}
{{- if hasPrefix "spark://" . -}}
{{- range splitList "," . }}{{ $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "7077") }}{{ end -}}
{{- else if hasPrefix "k8s://" . -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "443") -}}
{{- end -}}
{{- end -}}
{{- $found := list -}}
{{- range $ports }}{{ $found = append $found (int .) }}{{ end -}}
{{- $found | uniq | toJson -}}
{{- end -}}

{{- /* Whether nothing that the set-up needs is made by this release, so that it can run before all else. */ -}}
{{- define "atalaya.setupIsHook" -}}
{{- $v := .Values -}}
{{- if and $v.existingSecret (not (or $v.postgresql.bundled $v.redis.bundled $v.kafka.bundled)) -}}yes{{- end -}}
{{- end -}}

{{- define "atalaya.sparkTargets" -}}
{{- $targets := deepCopy .Values.spark.targets -}}
{{- with .Values.spark.kubernetes -}}
{{- if .enabled -}}
{{- $conf := dict "spark.executor.instances" (toString .executors) "spark.kubernetes.driver.pod.name" "$(POD_NAME)" "spark.kubernetes.authenticate.executor.serviceAccountName" (include "atalaya.fullname" $) "spark.kubernetes.executor.podTemplateFile" "/etc/atalaya/executor.yaml" -}}
{{- $claim := "spark.kubernetes.executor.volumes.persistentVolumeClaim.shared" -}}
{{- $_ := set $conf (printf "%s.options.claimName" $claim) (include "atalaya.sharedClaim" $) -}}
{{- $_ := set $conf (printf "%s.mount.path" $claim) "/var/lib/atalaya" -}}
{{- $_ := set $targets "kubernetes" (dict "master" "k8s://https://kubernetes.default.svc" "at_once" .atOnce "conf" (merge (deepCopy .conf) $conf)) -}}
{{- end -}}
{{- end -}}
{{- toJson $targets -}}
{{- end -}}

{{- /* Every setting of the console. In the pods themselves and not in a ConfigMap: a change starts them anew. */ -}}
{{- define "atalaya.env" -}}
{{- $full := include "atalaya.fullname" . -}}
{{- $v := .Values -}}
- {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- $settings := dict
  "CONSOLE_VAR_DIR" "/var/lib/atalaya"
  "CONSOLE_PIPELINE_TOKENS" "/var/lib/atalaya/tokens/console_tokens.json"
  "PROMETHEUS_MULTIPROC_DIR" "/tmp/metrics"
  "CONSOLE_LOG_FORMAT" "json"
  "CONSOLE_PUBLIC_URL" $v.publicUrl
  "CONSOLE_SERVING_URL" (printf "http://%s-serving:8001" $full)
  "CONSOLE_ALLOWED_HOSTS" (include "atalaya.allowedHosts" .)
  "CONSOLE_PROXY_COUNT" (toString $v.proxyCount)
  "CONSOLE_PROXY_NETWORKS" (join "," $v.proxyNetworks)
  "CONSOLE_KAFKA_BOOTSTRAP" (ternary (printf "%s-kafka:9092" $full) $v.kafka.bootstrap $v.kafka.bundled)
  "CONSOLE_MLFLOW_URL" (ternary (printf "http://%s-mlflow:5000" $full) $v.mlflow.url $v.mlflow.enabled)
  "CONSOLE_MLFLOW_PUBLIC_URL" $v.mlflow.publicUrl
  "CONSOLE_MLFLOW_USERNAME" (include "atalaya.mlflowUsername" .)
  "CONSOLE_AIRFLOW_URL" $v.airflow.url
  "CONSOLE_AIRFLOW_PUBLIC_URL" $v.airflow.publicUrl
  "CONSOLE_GRAFANA_URL" $v.monitoring.grafanaUrl
  "CONSOLE_AIRFLOW_AUTH" $v.airflow.auth
  "CONSOLE_AIRFLOW_USERNAME" $v.airflow.username
  "CONSOLE_SPARK_MASTER" $v.spark.master
  "CONSOLE_SPARK_TARGETS" (include "atalaya.sparkTargets" .)
  "CONSOLE_SPARK_DRIVER_MEMORY" $v.spark.driverMemory
  "CONSOLE_SPARK_DRIVER_HOST" "$(POD_IP)"
-}}
{{- if $v.spark.kubernetes.enabled -}}
{{- $_ := set $settings "CONSOLE_SPARK_IMAGE" $v.spark.kubernetes.image -}}
{{- $_ := set $settings "CONSOLE_SPARK_NAMESPACE" .Release.Namespace -}}
{{- $_ := set $settings "CONSOLE_SPARK_SERVICE_ACCOUNT" (printf "%s-spark" $full) -}}
{{- end -}}
{{- range $name, $value := merge (deepCopy $v.settings) $settings }}
{{- /* Helm holds numbers as fractions, and would write a million as 1e+06. */}}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ $value = int64 $value }}{{ end }}
- {name: {{ $name }}, value: {{ toString $value | quote }}}
{{- end }}
{{- range $name, $_source := include "atalaya.secretSources" . | fromYaml }}
- {name: {{ $name }}_FILE, value: /run/secrets/atalaya/{{ $name }}}
{{- end }}
{{- end -}}

{{- /* The restricted profile of Kubernetes' pod security standards, and a root file system that is read only. */ -}}
{{- define "atalaya.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "atalaya.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{ toYaml . }}
{{- end -}}

{{- /* Where every pod of the release may run; begins with a line break where there is anything. */ -}}
{{- define "atalaya.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- /* What every pod of the console has. Takes root, component, and hasShared: whether it sees the shared volume. */ -}}
{{- define "atalaya.podBasics" -}}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  {{- include "atalaya.podSecurity" .root.Values.podSecurity | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "atalaya.placement" .root }}
volumes:
  - {name: tmp, emptyDir: {}}
  - {name: own, emptyDir: {}}
  {{- if .hasShared }}
  - {name: shared, persistentVolumeClaim: {claimName: {{ include "atalaya.sharedClaim" .root }}}}
  {{- end }}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        {{- $byName := dict }}
        {{- range $setting, $secret := include "atalaya.secretSources" .root | fromYaml }}
        {{- $_ := set $byName $secret (append (get $byName $secret | default list) $setting) }}
        {{- end }}
        {{- range $secret, $settings := $byName }}
        - secret:
            name: {{ $secret }}
            items:
              {{- range $settings }}
              - {key: {{ . }}, path: {{ . }}}
              {{- end }}
        {{- end }}
  {{- if include "atalaya.hasExecutors" . }}
  - {name: executor, configMap: {name: {{ include "atalaya.fullname" .root }}-spark-executor}}
  {{- end }}
  {{- with .root.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* Whether it is the pod from which Spark starts others. Takes root and component. */ -}}
{{- define "atalaya.hasExecutors" -}}
{{- if and .root.Values.spark.kubernetes.enabled (eq .component "watch") -}}yes{{- end -}}
{{- end -}}

{{- /* A pod's own copies of models lie over the shared volume. */ -}}
{{- define "atalaya.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .hasShared }}
- {name: shared, mountPath: /var/lib/atalaya}
- {name: own, mountPath: /var/lib/atalaya/serving}
{{- else }}
- {name: own, mountPath: /var/lib/atalaya}
{{- end }}
- {name: secrets, mountPath: /run/secrets/atalaya, readOnly: true}
{{- if include "atalaya.hasExecutors" . }}
- {name: executor, mountPath: /etc/atalaya, readOnly: true}
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* A container of the console's image. Takes root, name, args, resources, hasShared; port for those with HTTP,
metricsPort for those that answer Prometheus alone. */ -}}
{{- define "atalaya.container" -}}
- name: {{ .name }}
  image: {{ include "atalaya.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args: {{ toJson (prepend .args "python") }}
  env:
    {{- include "atalaya.env" .root | nindent 4 }}
    {{- if not .port }}
    - {name: CONSOLE_HEARTBEAT_DIR, value: /tmp/alive-{{ .name }}}
    {{- end }}
    {{- if .metricsPort }}
    - {name: CONSOLE_METRICS_PORT, value: {{ .metricsPort | quote }}}
    {{- end }}
    {{- range $name, $value := .env }}
    - {name: {{ $name }}, value: {{ $value | quote }}}
    {{- end }}
  {{- if .port }}
  ports:
    - {name: http, containerPort: {{ .port }}}
  {{- /* The host that the console answers to: probes would else name the pod's address and port. */}}
  {{- $host := dict "name" "Host" "value" (urlParse .root.Values.publicUrl).hostname }}
  startupProbe:
    httpGet: {path: /livez, port: http, httpHeaders: [{{ toJson $host }}]}
    periodSeconds: 2
    failureThreshold: 60
  livenessProbe:
    httpGet: {path: /livez, port: http, httpHeaders: [{{ toJson $host }}]}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet: {path: /readyz, port: http, httpHeaders: [{{ toJson $host }}]}
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: 3
  # Services forget a pod some seconds after it was told to end: until then it goes on answering.
  lifecycle: {preStop: {exec: {command: [sleep, "5"]}}}
  {{- else }}
  {{- with .metricsPort }}
  ports:
    - {name: metrics, containerPort: {{ . }}}
  {{- end }}
  {{- $isAlive := list "python3" "-IS" "deploy/image/healthy.py" }}
  # A file that its loop touches, not its sign of life in Redis: a restart would not bring Redis back.
  startupProbe:
    exec: {command: {{ toJson $isAlive }}}
    periodSeconds: 3
    failureThreshold: 60
  livenessProbe:
    exec: {command: {{ toJson $isAlive }}}
    periodSeconds: 20
    timeoutSeconds: 5
    failureThreshold: 3
  {{- end }}
  resources:
    {{- toYaml .resources | nindent 4 }}
  securityContext:
    {{- include "atalaya.containerSecurity" . | nindent 4 }}
  volumeMounts:
    {{- include "atalaya.mounts" . | nindent 4 }}
{{- end -}}

{{- /* A container that runs a shell command before the others. Takes root, name, script, hasShared. */ -}}
{{- define "atalaya.before" -}}
- name: {{ .name }}
  image: {{ include "atalaya.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args:
    - sh
    - -ec
    - |
      {{- .script | nindent 6 }}
  env:
    {{- include "atalaya.env" .root | nindent 4 }}
  resources:
    {{- toYaml .root.Values.setup.resources | nindent 4 }}
  securityContext:
    {{- include "atalaya.containerSecurity" . | nindent 4 }}
  volumeMounts:
    {{- include "atalaya.mounts" . | nindent 4 }}
{{- end -}}

{{- /* No part meets a database that is older than its code. One that is newer the set-up refuses: here it would keep
pods of the release before from starting again while an upgrade is under way. */ -}}
{{- define "atalaya.untilMigrated" -}}
until python manage.py migrate --check && python manage.py migrate usecases --database usecases --check; do
  echo "The database is not migrated yet, or not there: looking again in 5 seconds."
  sleep 5
done
{{- end -}}
