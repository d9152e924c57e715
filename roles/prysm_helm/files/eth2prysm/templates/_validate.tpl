{{/*
Refusals. Each says what is wrong, why it matters, and what to do.
*/}}
{{- define "eth2prysm.validate" -}}
{{- $root := . -}}
{{- $table := .Files.Get "files/versions.yaml" | fromYaml -}}
{{- $version := include "eth2prysm.version" . -}}
{{- $network := include "eth2prysm.network" . -}}

{{- if and .Values.namespace (ne .Values.namespace .Release.Namespace) -}}
{{- fail (printf "namespace is %s but the release goes to %s. Use helm --namespace %s, and leave namespace empty." .Values.namespace .Release.Namespace .Values.namespace) -}}
{{- end -}}

{{- if semverCompare (printf "<%s" $table.oldest) $version -}}
{{- fail (printf "image.version %s is older than v%s, the oldest release this chart knows the flags of." .Values.image.version $table.oldest) -}}
{{- end -}}

{{- if not $network -}}
{{- fail "network is not set. Name it: mainnet, hoodi, sepolia, or custom. There is no default, so that mainnet is always typed." -}}
{{- end -}}
{{- if and .Values.network .Values.ethereumTestnet (ne .Values.network .Values.ethereumTestnet) -}}
{{- fail (printf "network is %s but ethereumTestnet is %s. Set only network." .Values.network .Values.ethereumTestnet) -}}
{{- end -}}
{{- if not (hasKey $table.networks $network) -}}
{{- fail (printf "network %s is not one of %s." $network (keys $table.networks | sortAlpha | join ", ")) -}}
{{- end -}}
{{- $entry := index $table.networks $network -}}
{{- if and (ne $network "custom") (not (include "eth2prysm.within" (list $version $entry.flag))) -}}
{{- fail (printf "Prysm %s has no --%s (it came with v%s%s). It would not start, or would follow mainnet instead." .Values.image.version $network $entry.flag.first (ternary (printf " and last worked in v%s" (default "" $entry.flag.last)) "" (hasKey $entry.flag "last"))) -}}
{{- end -}}
{{- if and (eq $network "custom") (not .Values.customNetwork.chainConfig) -}}
{{- fail "network is custom but customNetwork.chainConfig is empty. Prysm would follow mainnet." -}}
{{- end -}}
{{- if and (ne $network "custom") (or .Values.customNetwork.chainConfig .Values.customNetwork.bootstrapNodes) -}}
{{- fail (printf "customNetwork is set but network is %s. Set network to custom, or empty customNetwork." $network) -}}
{{- end -}}

{{- if and .Values.beacon.web3Provider (include "eth2prysm.has" (list . "executionEndpoint")) .Values.beacon.fallbackWeb3Providers -}}
{{- fail (printf "Prysm %s talks to one execution client only. Remove beacon.fallbackWeb3Providers." .Values.image.version) -}}
{{- end -}}

{{- $type := .Values.persistentVolumeType -}}
{{- if and (eq $type "nfs") (not .Values.nfs.serverIp) -}}
{{- fail "persistentVolumeType is nfs but nfs.serverIp is empty." -}}
{{- end -}}
{{- if eq $type "nfs" -}}
{{- if not (has "hard" .Values.nfs.mountOptions) -}}
{{- fail "nfs.mountOptions must contain hard: on a soft mount a write of slashing protection history can be lost." -}}
{{- end -}}
{{- if not (regexMatch "(^|,)(nfs)?vers=4\\.[12](,|$)" (join "," .Values.nfs.mountOptions)) -}}
{{- fail "nfs.mountOptions must contain nfsvers=4.1 or nfsvers=4.2: before that the lock on validator.db is not kept by the server." -}}
{{- end -}}
{{- end -}}
{{- if and (eq $type "hostPath") (not .Values.hostPath.node) -}}
{{- fail "persistentVolumeType is hostPath but hostPath.node is empty. On any other node the same path is an empty directory: validators would start there without their history." -}}
{{- end -}}
{{- if and (eq $type "existingClaim") (not .Values.beacon.dataExistingClaim) -}}
{{- fail "persistentVolumeType is existingClaim but beacon.dataExistingClaim is empty." -}}
{{- end -}}

{{- include "eth2prysm.refuseArgs" (list . "beacon.extraArgs" .Values.beacon.extraArgs) -}}

{{- $used := dict .Values.beacon.dataVolumePath "beacon.dataVolumePath" -}}
{{- $claims := dict -}}
{{- if .Values.beacon.dataExistingClaim -}}
{{- $_ := set $claims .Values.beacon.dataExistingClaim "beacon.dataExistingClaim" -}}
{{- end -}}
{{- range $name, $validator := include "eth2prysm.validators" . | fromYaml -}}
{{- $where := printf "validators.%s" $name -}}
{{- if eq $name $root.Values.beacon.name -}}
{{- fail (printf "%s has the beacon's name." $where) -}}
{{- end -}}
{{- if hasKey $validator "walletPassword" -}}
{{- fail (printf "%s.walletPassword: a password in the values ends up in the release, in its history and in shell histories. Create a Secret with the key password outside of the release and name it in walletPasswordSecretName." $where) -}}
{{- end -}}
{{- if not $validator.walletPasswordSecretName -}}
{{- fail (printf "%s.walletPasswordSecretName is empty. Name the Secret whose key password opens the wallet." $where) -}}
{{- end -}}
{{- if and (include "eth2prysm.has" (list $root "feeRecipient")) (not $validator.feeRecipient) -}}
{{- fail (printf "%s.feeRecipient is empty. Prysm %s would burn the block rewards. There is no default, ever." $where $root.Values.image.version) -}}
{{- end -}}
{{- if and $validator.feeRecipient (regexMatch "^0x0{40}$" $validator.feeRecipient) -}}
{{- fail (printf "%s.feeRecipient is the burn address." $where) -}}
{{- end -}}
{{- if gt (len $validator.graffiti) 32 -}}
{{- fail (printf "%s.graffiti is %d bytes long; a block has room for 32." $where (len $validator.graffiti)) -}}
{{- end -}}
{{- range $field := list "dataVolumePath" "walletVolumePath" -}}
{{- if has $type (list "nfs" "hostPath") -}}
{{- $path := get $validator $field -}}
{{- if not $path -}}
{{- fail (printf "%s.%s is empty." $where $field) -}}
{{- end -}}
{{- $path = $path | trimSuffix "/" -}}
{{- if hasKey $used $path -}}
{{- fail (printf "Slashing risk: %s.%s and %s are both %s. Two clients on one wallet or one database are two signers for one key." $where $field (get $used $path) $path) -}}
{{- end -}}
{{- $_ := set $used $path (printf "%s.%s" $where $field) -}}
{{- end -}}
{{- end -}}
{{- range $field := list "dataExistingClaim" "walletExistingClaim" -}}
{{- $claim := get $validator $field | default "" -}}
{{- if and (not $claim) (or (eq $type "existingClaim") (and (eq $type "storageClass") (eq $field "walletExistingClaim"))) -}}
{{- fail (printf "%s.%s is empty, and persistentVolumeType is %s." $where $field $type) -}}
{{- end -}}
{{- if and $claim (has $type (list "existingClaim" "storageClass")) -}}
{{- if hasKey $claims $claim -}}
{{- fail (printf "Slashing risk: %s.%s and %s are both %s. Two clients on one wallet or one database are two signers for one key." $where $field (get $claims $claim) $claim) -}}
{{- end -}}
{{- $_ := set $claims $claim (printf "%s.%s" $where $field) -}}
{{- end -}}
{{- end -}}
{{- include "eth2prysm.refuseArgs" (list $root (printf "%s.extraArgs" $where) $validator.extraArgs) -}}
{{- end -}}
{{- end -}}

{{- define "eth2prysm.refuseArgs" -}}
{{- $root := index . 0 -}}
{{- $where := index . 1 -}}
{{- $table := $root.Files.Get "files/versions.yaml" | fromYaml -}}
{{- range index . 2 -}}
{{- $flag := regexReplaceAll "=.*" (. | trimPrefix "--") "" -}}
{{- if hasKey $table.refusedArgs $flag -}}
{{- fail (printf "%s: --%s is refused: %s." $where $flag (get $table.refusedArgs $flag)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
