{{/* What the schema cannot say: values that are each fine and together would make a gateway that does not start, does
not answer, or is not safe. Every problem is a line of its own, all of them at once. */}}
{{- define "fairpod.refuse" -}}
{{- $problems := list
    (include "fairpod.problems.missing" .)
    (include "fairpod.problems.twice" .)
    (include "fairpod.problems.keys" .)
    (include "fairpod.problems.variables" .)
    (include "fairpod.problems.replicas" .)
    (include "fairpod.problems.reach" .)
    | join "" | trim -}}
{{- if $problems }}{{ fail (printf "\n%s" $problems) }}{{ end -}}
{{- end -}}

{{- define "fairpod.problems.missing" -}}
{{- $missing := list -}}
{{- if include "fairpod.isSimple" . -}}
{{- if not .Values.simple.endpointId }}{{ $missing = append $missing "simple.endpointId (the id of your Runpod endpoint)" }}{{ end -}}
{{- if not .Values.simple.keyDigest }}{{ $missing = append $missing "simple.keyDigest (the sha256 line that `fairpod key --tenant default` prints)" }}{{ end -}}
{{- else if not .Values.existingConfig.configMap -}}
{{- range list "endpoints" "models" "tenants" -}}
{{- if not (index $.Values.config .) }}{{ $missing = append $missing (printf "config.%s" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and (contains "${RUNPOD_API_KEY}" (include "fairpod.config" .)) (not .Values.existingConfig.configMap) (not .Values.runpodApiKey.existingSecret) (not .Values.extraEnvFrom) -}}
{{- $missing = append $missing "runpodApiKey.existingSecret (the Secret that holds your Runpod key)" -}}
{{- end -}}
{{- if $missing }}{{ printf "Set what is missing: %s.\n" (join ", " $missing) }}{{ end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- printf "httpRoute.enabled needs httpRoute.parentRefs: name the Gateway that the route belongs to.\n" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- printf "ingress.enabled needs ingress.hosts: name the host that clients send.\n" -}}
{{- end -}}
{{- end -}}

{{- define "fairpod.problems.twice" -}}
{{- $simple := or .Values.simple.endpointId .Values.simple.keyDigest -}}
{{- if and $simple (not (include "fairpod.isSimple" .)) -}}
{{- printf "simple stands for the endpoints, models and tenants of a configuration: give either simple, or config, or existingConfig.configMap.\n" -}}
{{- end -}}
{{- if and .Values.existingConfig.configMap .Values.config -}}
{{- printf "config would not be read beside existingConfig.configMap: give one of them.\n" -}}
{{- end -}}
{{- with .Values.state.redis -}}
{{- if and .url .existingSecret -}}
{{- printf "Give either state.redis.url or state.redis.existingSecret.\n" -}}
{{- end -}}
{{- if and $.Values.config.state (or .url .existingSecret) -}}
{{- printf "config.state and state.redis say the same thing: give one of them.\n" -}}
{{- end -}}
{{- if and .tls.caSecret (not (or .url .existingSecret)) -}}
{{- printf "state.redis.tls.caSecret has no store: set state.redis.existingSecret or state.redis.url.\n" -}}
{{- end -}}
{{- if and .tls.caSecret .url (not (hasPrefix "rediss://" .url)) -}}
{{- printf "state.redis.tls.caSecret needs a URL with TLS: state.redis.url has to begin with rediss://.\n" -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.existingConfig.configMap) (eq (include "fairpod.port" .) (include "fairpod.metricsPort" .)) -}}
{{- printf "config.metrics_port is the client port, %s: choose another, for instance 9464.\n" (include "fairpod.port" .) -}}
{{- end -}}
{{- if and .Values.existingConfig.configMap (eq (int .Values.existingConfig.port) (int .Values.existingConfig.metricsPort)) -}}
{{- printf "existingConfig.metricsPort is the client port: write 0 where the file says `metrics_port: null`.\n" -}}
{{- end -}}
{{- end -}}

{{/* Keys come from Secrets. The sentences never repeat what was written: it may be a key. */}}
{{- define "fairpod.problems.keys" -}}
{{- range $index, $endpoint := .Values.config.endpoints -}}
{{- if and $endpoint.api_key (not (regexMatch "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$" $endpoint.api_key)) -}}
{{- printf "config.endpoints[%d].api_key is a literal, and a ConfigMap is no place for a key: write ${RUNPOD_API_KEY} and set runpodApiKey.existingSecret, or another ${NAME} and secretEnv.\n" $index -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := dig "traces" "headers" dict .Values.config -}}
{{- if and (regexMatch "(?i)auth|cookie|key|secret|token" $name) (not (regexMatch "^[A-Za-z]* ?\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$" (toString $value))) -}}
{{- printf "config.traces.headers.%s is a literal, and a ConfigMap is no place for a key: write ${NAME}, and name its Secret in secretEnv.\n" $name -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "^[a-z]+://[^/]*@" (dig "traces" "endpoint" "" .Values.config) -}}
{{- printf "config.traces.endpoint holds a name or a password, and a ConfigMap is no place for one: write it into config.traces.headers as ${NAME}, and name its Secret in secretEnv.\n" -}}
{{- end -}}
{{- $written := dict "config.state.url" (dig "state" "url" "" .Values.config) "state.redis.url" .Values.state.redis.url -}}
{{- range $name, $url := $written -}}
{{- if regexMatch "^[a-z]+://[^/]*@|[?&](username|password)=" (default "" $url) -}}
{{- printf "%s holds a name or a password, and a ConfigMap is no place for one: put the URL into a Secret and set state.redis.existingSecret.\n" $name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The gateway does not start where a variable is not set. */}}
{{- define "fairpod.problems.variables" -}}
{{- $given := list -}}
{{- if .Values.runpodApiKey.existingSecret }}{{ $given = append $given "RUNPOD_API_KEY" }}{{ end -}}
{{- if include "fairpod.hasRedis" . }}{{ $given = append $given "REDIS_URL" }}{{ end -}}
{{- range .Values.secretEnv -}}
{{- if has .name $given -}}
{{- printf "secretEnv gives %s, which is given already: every variable comes from one Secret.\n" .name -}}
{{- end -}}
{{- $given = append $given .name -}}
{{- end -}}
{{- if and (not .Values.extraEnvFrom) (not .Values.existingConfig.configMap) -}}
{{- range regexFindAll "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}" (include "fairpod.config" .) -1 | uniq -}}
{{- $name := . | trimPrefix "${" | trimSuffix "}" -}}
{{- if not (or (has $name $given) (eq $name "RUNPOD_API_KEY")) -}}
{{- printf "config uses %s, which no Secret gives: add it to secretEnv, or name its Secret in extraEnvFrom.\n" . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "fairpod.problems.replicas" -}}
{{- if and (include "fairpod.isSeveral" .) (not (include "fairpod.sharesState" .)) -}}
{{- printf "More than one replica without a shared store would each hand out the whole of every limit: set state.redis.existingSecret or state.redis.url (with an existingConfig that has its own store: existingConfig.sharedState), or run one replica without autoscaling.\n" -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- printf "autoscaling.minReplicas is more than autoscaling.maxReplicas.\n" -}}
{{- end -}}
{{- if and .enabled (not .cpuPercent) (not .queuedRequests.enabled) -}}
{{- printf "autoscaling.enabled has nothing to scale on: set autoscaling.cpuPercent or autoscaling.queuedRequests.enabled.\n" -}}
{{- end -}}
{{- if and .enabled .cpuPercent (not (dig "requests" "cpu" "" $.Values.resources)) -}}
{{- printf "autoscaling.cpuPercent is a share of what is requested: set resources.requests.cpu.\n" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Traffic that would come where it should not, or not come where it should. */}}
{{- define "fairpod.problems.reach" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $host := dig "listen" "host" "0.0.0.0" .Values.config -}}
{{- if not (has $host (list "0.0.0.0" "::")) -}}
{{- printf "config.listen.host has to be 0.0.0.0 or ::, or neither Kubernetes nor a client reaches the gateway.\n" -}}
{{- end -}}
{{- $published := list -}}
{{- if .Values.ingress.enabled }}{{ $published = append $published "ingress.enabled" }}{{ end -}}
{{- if .Values.httpRoute.enabled }}{{ $published = append $published "httpRoute.enabled" }}{{ end -}}
{{- if ne .Values.service.type "ClusterIP" }}{{ $published = append $published "service.type" }}{{ end -}}
{{- if and $policy.enabled $published (not $policy.clients) -}}
{{- printf "%s brings clients that networkPolicy.clients does not let in: name your ingress controller's namespace there (or the addresses that come, or set networkPolicy.enabled to false).\n" (join ", " $published) -}}
{{- end -}}
{{- if and (ne .Values.service.type "ClusterIP") (eq (include "fairpod.metricsPort" .) "0") -}}
{{- printf "service.type %s would publish /metrics, which names your tenants: leave config.metrics_port out, or set it to a port.\n" .Values.service.type -}}
{{- end -}}
{{- if and $policy.enabled .Values.serviceMonitor.enabled (not $policy.scrapers) -}}
{{- printf "serviceMonitor.enabled brings a Prometheus that networkPolicy.scrapers does not let in: name its namespace there.\n" -}}
{{- end -}}
{{- if and $policy.enabled (include "fairpod.sharesState" .) (not $policy.redis.to) -}}
{{- printf "The gateway may not reach its store: name it in networkPolicy.redis.to.\n" -}}
{{- end -}}
{{- $collector := dig "traces" "endpoint" "" .Values.config -}}
{{- if and $policy.enabled (regexMatch "^https?://" $collector) (not (regexMatch "^https://[^/:]+(:443)?(/|$)" $collector)) (not $policy.extraEgress) -}}
{{- printf "The gateway may not reach the collector of config.traces.endpoint: let it out in networkPolicy.extraEgress.\n" -}}
{{- end -}}
{{- end -}}
