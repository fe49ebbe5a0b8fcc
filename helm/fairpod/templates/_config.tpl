{{/* "true" where Redis comes from the values. */}}
{{- define "fairpod.hasRedis" -}}
{{- with .Values.state.redis }}{{ if or .url .existingSecret }}true{{ end }}{{ end -}}
{{- end -}}

{{/* "true" where replicas share their state, wherever that is said. */}}
{{- define "fairpod.sharesState" -}}
{{- if .Values.existingConfig.configMap -}}
{{- if or .Values.existingConfig.sharedState (include "fairpod.hasRedis" .) }}true{{ end -}}
{{- else if eq (dig "state" "kind" "memory" (fromYaml (include "fairpod.config" .))) "redis" -}}
true
{{- end -}}
{{- end -}}

{{/* "true" where endpoints, models and tenants come from `simple`. */}}
{{- define "fairpod.isSimple" -}}
{{- if not (or .Values.existingConfig.configMap .Values.config.endpoints .Values.config.models .Values.config.tenants) }}true{{ end -}}
{{- end -}}

{{/* Where the gateway finds the store: the variable, and the authority that Redis' client reads from the query. */}}
{{- define "fairpod.redisUrl" -}}
{{- $redis := .Values.state.redis -}}
{{- $query := "" -}}
{{- if and $redis.tls.caSecret (not $redis.tls.caInUrl) -}}
{{- $query = printf "%sssl_ca_certs=/etc/fairpod-redis/ca.crt" (ternary "&" "?" (contains "?" $redis.url)) -}}
{{- end -}}
{{- printf "${REDIS_URL}%s" $query -}}
{{- end -}}

{{/* fairpod.yaml: `config` word for word, and what `simple` and `state.redis` stand for. */}}
{{- define "fairpod.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if include "fairpod.isSimple" . -}}
{{- $endpoint := dict "name" "default" "id" .Values.simple.endpointId "api_key" "${RUNPOD_API_KEY}" -}}
{{- $model := dict "id" "*" "endpoint" "default" -}}
{{- $tenant := dict "name" "default" "keys" (list .Values.simple.keyDigest) -}}
{{- $config = merge $config (dict "endpoints" (list $endpoint) "models" (list $model) "tenants" (list $tenant)) -}}
{{- end -}}
{{- if include "fairpod.hasRedis" . -}}
{{- $redis := dict "kind" "redis" "url" (include "fairpod.redisUrl" .) "on_outage" .Values.state.redis.onOutage -}}
{{- $_ := set $config "state" $redis -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "fairpod.port" -}}
{{- if .Values.existingConfig.configMap -}}
{{- int .Values.existingConfig.port -}}
{{- else -}}
{{- int (dig "listen" "port" 8080 .Values.config) -}}
{{- end -}}
{{- end -}}

{{/* 0 where /metrics is on the port of the clients, which `metrics_port: null` says; 9464 is the gateway's default. */}}
{{- define "fairpod.metricsPort" -}}
{{- if .Values.existingConfig.configMap -}}
{{- int .Values.existingConfig.metricsPort -}}
{{- else -}}
{{- if hasKey .Values.config "metrics_port" }}{{ int .Values.config.metrics_port }}{{ else }}9464{{ end -}}
{{- end -}}
{{- end -}}

{{/* The longest a pod may take to stop. Kubernetes starts to count before preStop; then the gateway lets streams finish
for drain_s, cancels the rest at Runpod, and its server takes up to 3 s to close. 5 s more are slack. After drain_s there
are at most as many cancels as Runpod takes in 10 s, for which the gateway allows 25 s, as some may have to be made again.
Where the seats of an endpoint are more than that, cancels begin before, and take as much longer as drain_s is too short. */}}
{{- define "fairpod.graceSeconds" -}}
{{- $drain := dig "drain_s" 30 .Values.config -}}
{{- if .Values.existingConfig.configMap }}{{ $drain = .Values.existingConfig.drainSeconds }}{{ end -}}
{{- $flush := 25 -}}
{{- if .Values.existingConfig.configMap }}{{ $flush = .Values.existingConfig.flushSeconds }}{{ else -}}
{{- range default list (fromYaml (include "fairpod.config" .)).endpoints -}}
{{- $limits := default dict .limits -}}
{{- $seconds := ceil (divf (mulf (default 64 .max_in_flight) 10.2) (dig "cancel" "per_10s" 100 $limits)) -}}
{{- $flush = max $flush (add 15 (sub (int $seconds) (int (ceil $drain)))) -}}
{{- end -}}
{{- end -}}
{{- add (int (ceil $drain)) (int .Values.preStopSeconds) (int $flush) 3 5 -}}
{{- end -}}

{{/* "true" where more than one gateway may run. */}}
{{- define "fairpod.isSeveral" -}}
{{- if .Values.autoscaling.enabled -}}
{{- if gt (int .Values.autoscaling.maxReplicas) 1 }}true{{ end -}}
{{- else if gt (int .Values.replicas) 1 -}}
true
{{- end -}}
{{- end -}}
