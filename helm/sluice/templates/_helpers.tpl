{{- /* Names, labels, and what the containers of this chart have in common. */ -}}

{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sluice.fullname" -}}
{{- $name := include "sluice.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ include "sluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "sluice.serviceAccount" -}}
{{- default (ternary (include "sluice.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The metrics address as a probe's host: without the brackets of IPv6; empty where it is served everywhere. */ -}}
{{- define "sluice.probe" -}}
httpGet:
  path: {{ .path }}
  port: metrics
  {{- with .root.Values.metrics.address }}
  host: {{ . | quote }}
  {{- end }}
periodSeconds: {{ .root.Values.probes.periodSeconds }}
timeoutSeconds: {{ .root.Values.probes.timeoutSeconds }}
{{- end -}}

{{- /* The metrics address as the agent takes it. */ -}}
{{- define "sluice.bind" -}}
{{- with .Values.metrics -}}
{{- if contains ":" .address -}}
[{{ .address }}]:{{ .port }}
{{- else -}}
{{ .address }}:{{ .port }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What no schema can say: values that go with each other, and that the agent would refuse on every node. */ -}}
{{- define "sluice.check" -}}
{{- with .Values.agent -}}
{{- if and .kubeconfig .manifests -}}
{{- fail "agent.kubeconfig and agent.manifests: policies come from one source, give one of them" -}}
{{- end -}}
{{- $queues := int (default 4 .queues) -}}
{{- if gt (add (int .queueNum) $queues) 65536 -}}
{{- fail (printf "agent.queueNum %d with %d agent.queues: queue numbers end at 65535" (int .queueNum) $queues) -}}
{{- end -}}
{{- $mask := int64 .markBits -}}
{{- $bits := 0 -}}
{{- range until 32 -}}
{{- $bits = add $bits (mod $mask 2) -}}
{{- $mask = div $mask 2 -}}
{{- end -}}
{{- if or (lt (int $bits) 3) (gt $mask 0) -}}
{{- fail (printf "agent.markBits %s: at least three bits of 32 are needed" .markBits) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* No more rights than are needed; the argument "capabilities" is a list of those. */ -}}
{{- define "sluice.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  {{- with .capabilities }}
  add: {{ toJson . }}
  {{- end }}
privileged: false
readOnlyRootFilesystem: true
runAsUser: 0
runAsGroup: 0
{{- with .root.Values.securityContext }}
seccompProfile:
  type: {{ .seccomp }}
  {{- if eq .seccomp "Localhost" }}
  localhostProfile: {{ .seccompProfile }}
  {{- end }}
{{- with .seLinuxOptions }}
seLinuxOptions: {{ toJson . }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Where the directories of the node are in a container, so that all commands of the binary find them. The bpffs is
not mounted below /sys: the AppArmor profile of container runtimes forbids writing there. */ -}}
{{- define "sluice.paths" -}}
- name: SLUICE_BPFFS
  value: /bpf/sluice
- name: SLUICE_SOCKET
  value: /run/sluice/agent.sock
{{- end -}}

{{- define "sluice.mounts" -}}
- name: bpffs
  mountPath: /bpf
  mountPropagation: HostToContainer
- name: run
  mountPath: /run/sluice
{{- end -}}

{{- define "sluice.volumes" -}}
- name: bpffs
  hostPath:
    path: {{ .Values.host.bpffs }}
    type: Directory
- name: run
  hostPath:
    path: {{ .Values.host.run }}
    type: DirectoryOrCreate
{{- end -}}

{{- /* Every node, in its own network. */ -}}
{{- define "sluice.placement" -}}
hostNetwork: true
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end -}}

{{- /* Whoever waits for a DaemonSet may see that one: an account, a role and a binding, as hooks. Arguments: name,
daemonset, component, hook. */ -}}
{{- define "sluice.watcher" -}}
{{- $meta := printf "name: %s\nnamespace: %s\nlabels:\n%s\n  app.kubernetes.io/component: %s\nannotations:\n  helm.sh/hook: %s\n  helm.sh/hook-weight: \"-10\"\n  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded" .name .root.Release.Namespace (include "sluice.labels" .root | indent 2) .component .hook -}}
apiVersion: v1
kind: ServiceAccount
metadata: {{- $meta | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{- $meta | nindent 2 }}
rules:
  - apiGroups: [apps]
    resources: [daemonsets]
    resourceNames: [{{ .daemonset }}]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{- $meta | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}

{{- /* Where the API server is, if it is told. */ -}}
{{- define "sluice.apiServer" -}}
{{- with .Values.apiServer -}}
{{- if .host -}}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .host | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ int .port | quote }}
{{- end -}}
{{- end -}}
{{- end -}}
