{{- define "rsql.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "rsql.selector" -}}
app.kubernetes.io/name: rsql
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rsql.labels" -}}
{{ include "rsql.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "rsql.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "rsql.path" -}}
{{ if .Values.hub.enabled }}/services/{{ .Values.hub.name }}{{ else }}/rsql{{ end }}
{{- end }}

{{- define "rsql.toml" -}}
{{ .Values.config | trim }}

[storage]
{{- if .Values.storage.state }}
state = {{ .Values.storage.state | quote }}
{{- end }}
ledger = {{ .Values.storage.ledger | default "sqlite:////var/lib/rsql/rsql.db" | quote }}
instance = "${RSQL_INSTANCE}"
instances = {{ .Values.replicas }}
{{- end }}
