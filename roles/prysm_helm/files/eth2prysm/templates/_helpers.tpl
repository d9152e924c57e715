{{/*
The release of Prysm as three plain numbers: v4.0.3-hotfix has the flags of 4.0.3, v7.0.0-rc.1 those of 7.0.0.
*/}}
{{- define "eth2prysm.version" -}}
{{- regexFind "^v[0-9]+\\.[0-9]+\\.[0-9]+" .Values.image.version | trimPrefix "v" -}}
{{- end -}}

{{/*
Is a version within an interval of files/versions.yaml? (list VERSION INTERVAL) -> "true" or nothing.
*/}}
{{- define "eth2prysm.within" -}}
{{- $version := index . 0 -}}
{{- $interval := index . 1 -}}
{{- $first := default "0.0.0" $interval.first -}}
{{- $last := default "9999.0.0" $interval.last -}}
{{- if semverCompare (printf ">=%s, <=%s" $first $last) $version -}}true{{- end -}}
{{- end -}}

{{/*
Does this version of Prysm have a feature of files/versions.yaml? (list ROOT NAME) -> "true" or nothing.
*/}}
{{- define "eth2prysm.has" -}}
{{- $root := index . 0 -}}
{{- $table := $root.Files.Get "files/versions.yaml" | fromYaml -}}
{{- include "eth2prysm.within" (list (include "eth2prysm.version" $root) (index $table.features (index . 1))) -}}
{{- end -}}

{{/*
Does a program of this version take an argument of files/versions.yaml? (list ROOT PROGRAM FLAG) -> "true" or nothing.
*/}}
{{- define "eth2prysm.takes" -}}
{{- $root := index . 0 -}}
{{- $table := $root.Files.Get "files/versions.yaml" | fromYaml -}}
{{- include "eth2prysm.within" (list (include "eth2prysm.version" $root) (get (index $table.allowedArgs (index . 1)) (index . 2))) -}}
{{- end -}}

{{- define "eth2prysm.network" -}}
{{- default .Values.ethereumTestnet .Values.network -}}
{{- end -}}

{{/*
The image of beacon-chain or validator: from a mirror, where one is named, and pinned to a digest, where one is given.
(list ROOT NAME OVERRIDE DIGEST)
*/}}
{{- define "eth2prysm.image" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $repository := index . 2 -}}
{{- $digest := index . 3 -}}
{{- if not $repository -}}
{{- $table := $root.Files.Get "files/versions.yaml" | fromYaml -}}
{{- $version := include "eth2prysm.version" $root -}}
{{- range $table.registries -}}
{{- if include "eth2prysm.within" (list $version .) -}}
{{- $repository = printf "%s/%s" .repository $name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- printf "%s:%s%s" $repository $root.Values.image.version (ternary (printf "@%s" $digest) "" (ne $digest "")) -}}
{{- end -}}

{{/*
Seconds for a program to end after SIGTERM: those of the values, or what the version may take, if that is more.
(list ROOT PROGRAM SECONDS ARGUMENTS)
*/}}
{{- define "eth2prysm.stopSeconds" -}}
{{- $root := index . 0 -}}
{{- $table := $root.Files.Get "files/versions.yaml" | fromYaml -}}
{{- $version := include "eth2prysm.version" $root -}}
{{- $seconds := int (index . 2) -}}
{{- $given := list -}}
{{- range index . 3 -}}
{{- if not (hasSuffix "=false" .) -}}
{{- $given = append $given (regexReplaceAll "=.*$" (trimPrefix "--" .) "") -}}
{{- end -}}
{{- end -}}
{{- range index $table.stop (index . 1) -}}
{{- if and (include "eth2prysm.within" (list $version .)) (or (not .with) (has .with $given)) -}}
{{- $seconds = max $seconds (int .seconds) -}}
{{- end -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{/*
Where a program lies in its image: beacon or validator. (list ROOT KIND)
*/}}
{{- define "eth2prysm.entrypoint" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $table := $root.Files.Get "files/versions.yaml" | fromYaml -}}
{{- $version := include "eth2prysm.version" $root -}}
{{- range $table.entrypoints -}}
{{- if include "eth2prysm.within" (list $version .) -}}
{{- index . $kind -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The layout that this version gives to validator.db: how many of the changes in files/versions.yaml it has.
*/}}
{{- define "eth2prysm.layout" -}}
{{- $table := .Files.Get "files/versions.yaml" | fromYaml -}}
{{- $version := include "eth2prysm.version" . -}}
{{- $layout := 0 -}}
{{- range $table.validatorSchema -}}
{{- if semverCompare (printf ">=%s" .) $version -}}{{- $layout = add1 $layout -}}{{- end -}}
{{- end -}}
{{- $layout -}}
{{- end -}}

{{/*
A path as all comparisons want it: no slash at its end. (list WHERE PATH) Other spellings of one place are refused.
*/}}
{{- define "eth2prysm.place" -}}
{{- $where := index . 0 -}}
{{- $path := index . 1 | default "" -}}
{{- if not (kindIs "string" $path) -}}
{{- fail (printf "%s is not a path." $where) -}}
{{- end -}}
{{- if not $path -}}
{{- fail (printf "%s is empty." $where) -}}
{{- end -}}
{{- if not (regexMatch "^/[^\\s[:cntrl:]]*$" $path) -}}
{{- fail (printf "%s is %q. It should be a path that begins with / and has no spaces." $where $path) -}}
{{- end -}}
{{- $clean := trimSuffix "/" $path -}}
{{- if or (contains "//" $path) (regexMatch "/\\.\\.?(/|$)" $path) -}}
{{- fail (printf "%s is %s. Write it without //, /./ and /../: two spellings of one place are two clients on one database." $where $path) -}}
{{- end -}}
{{- if not $clean -}}
{{- fail (printf "%s is the root directory." $where) -}}
{{- end -}}
{{- $clean -}}
{{- end -}}

{{/*
Memory from the values, or else by version. (list ROOT KIND VALUES)
*/}}
{{- define "eth2prysm.resources" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $given := index . 2 -}}
{{- if $given -}}
{{- toYaml $given -}}
{{- else -}}
{{- $table := $root.Files.Get "files/versions.yaml" | fromYaml -}}
{{- $version := include "eth2prysm.version" $root -}}
{{- range $table.memory -}}
{{- if include "eth2prysm.within" (list $version .) -}}
{{- $memory := index . $kind -}}
requests: {cpu: 50m, memory: {{ $memory.request }}}
limits: {memory: {{ $memory.limit }}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
All beacon nodes, the first of them `beacon`, with what entries leave out filled in, and `where` each stands in the
values. Read it with (fromYaml ...).all.
*/}}
{{- define "eth2prysm.beacons" -}}
{{- $root := . -}}
{{- $all := list (set (deepCopy .Values.beacon) "where" "beacon") -}}
{{- range $index, $entry := .Values.additionalBeacons -}}
{{- $one := omit (deepCopy $root.Values.beacon) "name" "dataVolumePath" "dataExistingClaim" -}}
{{- $_ := set $one "where" (printf "additionalBeacons.%d" $index) -}}
{{- range $key, $value := $entry -}}
{{- $_ := set $one $key $value -}}
{{- end -}}
{{- $all = append $all $one -}}
{{- end -}}
{{- dict "all" $all | toYaml -}}
{{- end -}}

{{/*
The validators as a map with the defaults filled in, from a map or a list. Read it with fromYaml.
*/}}
{{- define "eth2prysm.validators" -}}
{{- $root := . -}}
{{- $all := dict -}}
{{- if kindIs "slice" .Values.validators -}}
{{- range .Values.validators -}}
{{- if hasKey $all .name -}}
{{- fail (printf "validators: two entries are named %s. Names are pods, so each can be used once." .name) -}}
{{- end -}}
{{- $_ := set $all .name (mergeOverwrite (deepCopy $root.Values.validatorDefaults) .) -}}
{{- end -}}
{{- else -}}
{{- range $key, $entry := .Values.validators -}}
{{- $name := default $key $entry.name -}}
{{- if hasKey $all $name -}}
{{- fail (printf "validators: two entries are named %s. Names are pods, so each can be used once." $name) -}}
{{- end -}}
{{- $named := mergeOverwrite (deepCopy $root.Values.validatorDefaults) $entry -}}
{{- $_ := set $named "name" $name -}}
{{- $_ := set $all $name $named -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{- define "eth2prysm.selector" -}}
app: {{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end -}}

{{/*
Labels of pods. Nothing here may change with the chart's own version: that would replace pods. (list ROOT NAME COMPONENT)
*/}}
{{- define "eth2prysm.podLabels" -}}
{{ include "eth2prysm.selector" . }}
app.kubernetes.io/name: eth2prysm
app.kubernetes.io/component: {{ index . 2 }}
{{- end -}}

{{- define "eth2prysm.labels" -}}
{{ include "eth2prysm.podLabels" . }}
app.kubernetes.io/version: {{ (index . 0).Values.image.version | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end -}}

{{/*
PersistentVolumes belong to the whole cluster, so their names carry the release's. (list ROOT WORKLOAD VOLUME)
*/}}
{{- define "eth2prysm.volumeName" -}}
{{- printf "%s-%s-%s-%s" (index . 0).Release.Namespace (index . 0).Release.Name (index . 1) (index . 2) -}}
{{- end -}}

{{/*
A volume and its claim. (dict root workload volume path size) Nothing for claims that exist already.
*/}}
{{- define "eth2prysm.storage" -}}
{{- $values := .root.Values -}}
{{- $labels := include "eth2prysm.labels" (list .root .workload .component) -}}
{{- $name := include "eth2prysm.volumeName" (list .root .workload .volume) -}}
{{- if or (eq $values.persistentVolumeType "nfs") (eq $values.persistentVolumeType "hostPath") }}
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: {{ $name }}
  labels:
    {{- $labels | nindent 4 }}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: {{ .size }}}
  # Whatever happens to the claim, the data stays.
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  claimRef:
    apiVersion: v1
    kind: PersistentVolumeClaim
    namespace: {{ .root.Release.Namespace }}
    name: {{ .workload }}-{{ .volume }}
  {{- if eq $values.persistentVolumeType "nfs" }}
  mountOptions:
    {{- toYaml $values.nfs.mountOptions | nindent 4 }}
  nfs:
    server: {{ $values.nfs.serverIp | quote }}
    path: {{ trimSuffix "/" .path | quote }}
  {{- else }}
  hostPath:
    path: {{ trimSuffix "/" .path | quote }}
    type: Directory
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions:
            - {key: kubernetes.io/hostname, operator: In, values: [{{ $values.hostPath.node | quote }}]}
  {{- end }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .workload }}-{{ .volume }}
  labels:
    {{- $labels | nindent 4 }}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: {{ .size }}}}
  storageClassName: ""
  volumeName: {{ $name }}
{{- else if and (eq $values.persistentVolumeType "storageClass") (not .claim) }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .workload }}-{{ .volume }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    # Removing the release must not remove the slashing protection history.
    helm.sh/resource-policy: keep
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: {{ .size }}}}
  {{- with $values.storageClass.name }}
  storageClassName: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "eth2prysm.claimName" -}}
{{- if .claim -}}{{ .claim }}{{- else -}}{{ .workload }}-{{ .volume }}{{- end -}}
{{- end -}}

{{/*
fsGroup opens the secrets to our group and leaves in-tree NFS and hostPath volumes alone. On others it would rewrite the
wallet's modes, which Prysm checks, so there the secrets are readable inside the container instead.
*/}}
{{- define "eth2prysm.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.nfs.user }}
runAsGroup: {{ .Values.nfs.group }}
{{- if has .Values.persistentVolumeType (list "nfs" "hostPath") }}
fsGroup: {{ .Values.nfs.group }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "eth2prysm.secretMode" -}}
{{- if has .Values.persistentVolumeType (list "nfs" "hostPath") -}}0440{{- else -}}0444{{- end -}}
{{- end -}}

{{- define "eth2prysm.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/*
What both kinds of pod have in common; no two pods with the labels `apart` on one node.
(dict root program values arguments standby apart)
*/}}
{{- define "eth2prysm.podSpec" -}}
automountServiceAccountToken: false
# Otherwise every service of the namespace becomes environment variables, which Prysm might take for settings.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "eth2prysm.stopSeconds" (list .root .program .values.terminationGracePeriodSeconds .arguments) }}
securityContext:
  {{- include "eth2prysm.podSecurity" .root | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := .values.tolerations -}}
{{- $affinity := .values.affinity -}}
{{- if .standby -}}
{{- $tolerations = concat (default list $tolerations) (include "eth2prysm.standbyTolerations" . | fromYamlArray) -}}
{{- end -}}
{{- with .apart -}}
{{- $affinity = include "eth2prysm.apart" (dict "values" $.values "selector" .) | fromYaml -}}
{{- end -}}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
With a standby the lock says who signs, so a node that the API server does not hear of is no reason to end its pods: one
that signs there goes on, and one that is dead has been succeeded long before.
*/}}
{{- define "eth2prysm.standbyTolerations" -}}
- {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute}
- {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute}
{{- end -}}

{{/*
The affinity of the values, and never two pods with the same labels on one node. (dict values selector)
*/}}
{{- define "eth2prysm.apart" -}}
{{- $affinity := deepCopy (default dict .values.affinity) -}}
{{- $anti := deepCopy (default dict $affinity.podAntiAffinity) -}}
{{- $term := dict "labelSelector" (dict "matchLabels" .selector) "topologyKey" "kubernetes.io/hostname" -}}
{{- $required := append (default list $anti.requiredDuringSchedulingIgnoredDuringExecution) $term -}}
{{- $_ := set $anti "requiredDuringSchedulingIgnoredDuringExecution" $required -}}
{{- $_ := set $affinity "podAntiAffinity" $anti -}}
{{- toYaml $affinity -}}
{{- end -}}

{{/*
What the guard needs to know beside its arguments. (dict root kind identity)
*/}}
{{- define "eth2prysm.guardEnv" -}}
{{- if eq .kind "validator" -}}
- {name: GUARD_VERSION, value: {{ printf "v%s" (include "eth2prysm.version" .root) | quote }}}
- {name: GUARD_LAYOUT, value: {{ include "eth2prysm.layout" .root | quote }}}
- {name: GUARD_IDENTITY, value: {{ .identity | default "" | quote }}}
{{- end }}
{{- end -}}

{{/*
The step that waits for the database, and brings the busybox with which the container of Prysm does the same again, and
the addresses of the services `hosts`. (dict root kind identity mounts arguments hosts)
*/}}
{{- define "eth2prysm.guard" -}}
- name: guard
  image: {{ .root.Values.guard.image | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy | quote }}
  command: [/bin/sh, /guard/guard.sh]
  args:
    {{- toYaml .arguments | nindent 4 }}
  env:
    - {name: GUARD_INSTALL, value: /guard-bin}
    {{- with .hosts }}
    - {name: GUARD_HOSTS, value: {{ join " " . | quote }}}
    {{- end }}
    {{- with include "eth2prysm.guardEnv" . }}
    {{- . | nindent 4 }}
    {{- end }}
  # What it refused, and why, becomes part of the pod's status.
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- include "eth2prysm.containerSecurity" .root | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: guard, mountPath: /guard, readOnly: true}
    - {name: guard-bin, mountPath: /guard-bin}
    {{- with .mounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/*
The same step beside a standby: it only brings the busybox, so that the pod waits where Prysm starts, with everything
loaded. What belongs to a database is left to the second guard: the database of another's lock is changing. The guard
checks a data directory in any case, and here gets an empty one.
*/}}
{{- define "eth2prysm.guardTools" -}}
{{- include "eth2prysm.guard" (dict "root" .root "kind" "beacon" "mounts" list "arguments" (list "beacon" "/guard-bin" "other" "0") "hosts" .hosts) -}}
{{- end -}}

{{/*
The guard as the command of Prysm's own container: it runs at every start of it, and becomes Prysm with the lock held.
With a standby pulse.sh stands in between. The arguments of Prysm follow. (dict root kind arguments lock)
*/}}
{{- define "eth2prysm.guarded" -}}
command: [/guard-bin/busybox, sh, /guard/guard.sh]
args:
  {{- toYaml .arguments | nindent 2 }}
  - "--"
  {{- with .lock }}
  - /guard-bin/busybox
  - sh
  - /guard/pulse.sh
  - {{ . | quote }}
  {{- end }}
  - {{ include "eth2prysm.entrypoint" (list .root .kind) | quote }}
{{- end -}}

{{/*
One argument for a container. Kubernetes would expand $(NAME) in it, so every $ is escaped.
*/}}
{{- define "eth2prysm.arg" -}}
- {{ . | toString | replace "$" "$$" | quote }}
{{- end -}}

{{- define "eth2prysm.networkArgs" -}}
{{- $network := include "eth2prysm.network" . -}}
{{- if eq $network "custom" }}
{{- if .Values.customNetwork.chainConfig }}
{{ include "eth2prysm.arg" "--chain-config-file=/config/chain.yaml" }}
{{- end }}
{{- else }}
{{ include "eth2prysm.arg" (printf "--%s" $network) }}
{{- end }}
{{- end -}}

{{/*
A number of a chain's configuration. Helm reads numbers as floating point, which keeps 2^53 and not the 2^64-1 of a fork
that never comes. (list NAME VALUE)
*/}}
{{- define "eth2prysm.chainValue" -}}
{{- $value := index . 1 -}}
{{- if and (regexMatch "_FORK_VERSION$|_ADDRESS$|_HASH$|^(MESSAGE_)?DOMAIN_" (index . 0)) (not (kindIs "string" $value)) -}}
{{- fail (printf "customNetwork.chainConfig.%s is %v, a number to YAML, and Prysm ends over it. Write it in quotes, as hexadecimal with 0x." (index . 0) $value) -}}
{{- end -}}
{{- if kindIs "float64" $value -}}
{{- if or (gt $value 9007199254740991.0) (lt $value -9007199254740991.0) -}}
{{- fail (printf "customNetwork.chainConfig.%s is %v, which is not kept exactly as a number. Write it in quotes." (index . 0) $value) -}}
{{- end -}}
{{- if eq (float64 (int64 $value)) $value -}}{{ int64 $value }}{{- else -}}{{ $value }}{{- end -}}
{{- else -}}
{{- $value -}}
{{- end -}}
{{- end -}}

{{/*
Prysm's own reader of this file wants hexadecimal values without quotes and numbers without an exponent. A list, such as
BLOB_SCHEDULE, has one mapping an entry.
*/}}
{{- define "eth2prysm.chainConfig" -}}
{{- range $key, $value := .Values.customNetwork.chainConfig }}
{{- if kindIs "slice" $value }}
{{ $key }}:{{ if not $value }} []{{ end }}
{{- range $entry := $value }}
{{- $lead := "  - " }}
{{- if not (kindIs "map" $entry) }}
{{ $lead }}{{ include "eth2prysm.chainValue" (list $key $entry) }}
{{- else }}
{{- range $name, $one := $entry }}
{{ $lead }}{{ $name }}: {{ include "eth2prysm.chainValue" (list (printf "%s.%s" $key $name) $one) }}
{{- $lead = "    " }}
{{- end }}
{{- end }}
{{- end }}
{{- else }}
{{ $key }}: {{ include "eth2prysm.chainValue" (list $key $value) }}
{{- end }}
{{- end }}
{{- end -}}
