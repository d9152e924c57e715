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

{{- if not (has (trimPrefix "v" .Values.image.version) $table.releases) -}}
{{- if ne .Values.image.version (toString .Values.image.untestedVersion) -}}
{{- fail (printf "image.version %s is not one of the releases that files/versions.yaml was checked against (the newest is v%s): with an argument it does not know it would exit with success, doing nothing. Read its release notes; to run it all the same, set image.untestedVersion to %s." .Values.image.version $table.newest .Values.image.version) -}}
{{- end -}}
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

{{- $beacons := (include "eth2prysm.beacons" . | fromYaml).all -}}
{{- include "eth2prysm.checkBeacons" (dict "root" . "beacons" $beacons) -}}
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
{{- if and (eq $type "hostPath") (gt (len $beacons) 1) -}}
{{- fail "persistentVolumeType is hostPath, which has one node, and two beacon nodes never run on one node. Empty additionalBeacons." -}}
{{- end -}}
{{- if and (eq $type "hostPath") (not .Values.hostPath.node) -}}
{{- fail "persistentVolumeType is hostPath but hostPath.node is empty. On any other node the same path is an empty directory: validators would start there without their history." -}}
{{- end -}}
{{- range $beacons -}}
{{- if and (eq $type "existingClaim") (not .dataExistingClaim) -}}
{{- fail (printf "persistentVolumeType is existingClaim but %s.dataExistingClaim is empty." .name) -}}
{{- end -}}
{{- end -}}

{{- if .Values.standby.enabled -}}
{{- if ne $type "nfs" -}}
{{- fail (printf "standby.enabled, but persistentVolumeType is %s: only the lock of an NFS server is a proved fence between two nodes. Without it two pods could be two signers. Set standby.enabled to false." $type) -}}
{{- end -}}
{{- if .Values.validatorStartWaitTime -}}
{{- fail (printf "standby.enabled, but validatorStartWaitTime is %v: the standby waits for the lock, and a pause on top is duties missed. Set it to 0." .Values.validatorStartWaitTime) -}}
{{- end -}}
{{- end -}}

{{- if not (has $type (list "nfs" "hostPath" "storageClass" "existingClaim")) -}}
{{- fail (printf "persistentVolumeType %s is not one of nfs, hostPath, storageClass, existingClaim." $type) -}}
{{- end -}}
{{- if not (include "eth2prysm.entrypoint" (list . "validator")) -}}
{{- fail (printf "files/versions.yaml does not say where the programs of Prysm %s are (entrypoints)." .Values.image.version) -}}
{{- end -}}

{{- include "eth2prysm.checkEmergency" (list . "beacon") -}}
{{- include "eth2prysm.checkEmergency" (list . "validator") -}}
{{- include "eth2prysm.checkArgs" (list . "validatorDefaults.extraArgs" "validator" .Values.validatorDefaults.extraArgs) -}}

{{- $validators := include "eth2prysm.validators" . | fromYaml -}}
{{- $identities := dict -}}
{{- range $name, $validator := $validators -}}
{{- $where := printf "validators.%s" $name -}}
{{- include "eth2prysm.name" (list $where $name) -}}
{{- range $beacons -}}
{{- if eq $name .name -}}
{{- fail (printf "%s has the beacon's name." $where) -}}
{{- end -}}
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
{{- fail (printf "%s.graffiti is %d bytes long; a block has space for 32." $where (len $validator.graffiti)) -}}
{{- end -}}
{{- with $validator.dataIdentity -}}
{{- if not (regexMatch "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" .) -}}
{{- fail (printf "%s.dataIdentity is %s. It should be the UUID in .validator-id of its data and wallet directory." $where .) -}}
{{- end -}}
{{- if hasKey $identities . -}}
{{- fail (printf "Slashing risk: %s and validators.%s have the same dataIdentity. One database and one wallet belong to one client." $where (get $identities .)) -}}
{{- end -}}
{{- $_ := set $identities . $name -}}
{{- end -}}
{{- include "eth2prysm.checkArgs" (list $root (printf "%s.extraArgs" $where) "validator" $validator.extraArgs) -}}
{{- end -}}

{{- include "eth2prysm.checkPlaces" (dict "root" . "beacons" $beacons "validators" $validators) -}}
{{- end -}}

{{/*
Beacon nodes: what each asks of others, its arguments, and that no two are in each other's way. (dict root beacons)
*/}}
{{- define "eth2prysm.checkBeacons" -}}
{{- $root := .root -}}
{{- $merged := include "eth2prysm.has" (list $root "executionEndpoint") -}}
{{- $names := list -}}
{{- $ports := dict -}}
{{- range $beacon := .beacons -}}
{{- $where := $beacon.where -}}
{{- include "eth2prysm.name" (list (printf "%s.name" $where) $beacon.name) -}}
{{- if has $beacon.name $names -}}
{{- fail (printf "%s.name: two beacon nodes are named %s. Names are pods, so each can be used once." $where $beacon.name) -}}
{{- end -}}
{{- $names = append $names $beacon.name -}}
{{- if and $beacon.web3Provider $merged $beacon.fallbackWeb3Providers -}}
{{- fail (printf "Prysm %s talks to one execution client only. Remove %s.fallbackWeb3Providers." $root.Values.image.version $where) -}}
{{- end -}}
{{- /* Before v3.0 a beacon node starts without one, and the tutorial leaves such addresses in. */ -}}
{{- $asked := dict (printf "%s.checkpointSyncUrl" $where) $beacon.checkpointSyncUrl (printf "%s.genesisBeaconApiUrl" $where) $beacon.genesisBeaconApiUrl -}}
{{- if $merged -}}
{{- $_ := set $asked (printf "%s.web3Provider" $where) $beacon.web3Provider -}}
{{- end -}}
{{- range $field, $url := $asked -}}
{{- if regexMatch "^https?://([^/@]*@)?(([^/:]*\\.)?localhost|127\\.[0-9.]+|0\\.0\\.0\\.0|\\[::1?\\])\\.?([:/]|$)" (lower $url) -}}
{{- fail (printf "%s leads to the pod of the beacon node itself. Give the address of the machine, and have the program there listen on it." $field) -}}
{{- end -}}
{{- if regexMatch "^https?://[^/]*@" $url -}}
{{- fail (printf "%s has a user or password in it, which everybody could read in the arguments of the pod. Leave it out." $field) -}}
{{- end -}}
{{- end -}}
{{- include "eth2prysm.checkArgs" (list $root (printf "%s.extraArgs" $where) "beacon" $beacon.extraArgs) -}}
{{- /* Behind one address the outside knows them by their ports alone. */ -}}
{{- $quic := include "eth2prysm.has" (list $root "quic") -}}
{{- range $port := ternary (list (list "p2pTcpPort" "tcp") (list "p2pUdpPort" "udp") (list "p2pQuicPort" "udp")) (list (list "p2pTcpPort" "tcp") (list "p2pUdpPort" "udp")) (ne $quic "") -}}
{{- $key := printf "%d/%s" (int (index $beacon (first $port))) (last $port) -}}
{{- if hasKey $ports $key -}}
{{- fail (printf "%s.%s is %s, which %s has, too. Give each beacon node ports of its own: others find it by them." $where (first $port) $key (get $ports $key)) -}}
{{- end -}}
{{- $_ := set $ports $key (printf "%s.%s" $where (first $port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
A name becomes a StatefulSet, whose pods carry it and a hash in a label of 63 characters. (list WHERE NAME)
*/}}
{{- define "eth2prysm.name" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$" (toString (index . 1))) -}}
{{- fail (printf "%s: %q cannot name a client. It should begin with a letter and have at most 52 small letters, digits and hyphens." (index . 0) (toString (index . 1))) -}}
{{- end -}}
{{- end -}}

{{/*
No two volumes may be one place, nor one below another: that would be two signers for one key. (dict root beacons validators)
*/}}
{{- define "eth2prysm.checkPlaces" -}}
{{- $values := .root.Values -}}
{{- $type := $values.persistentVolumeType -}}
{{- $byPath := has $type (list "nfs" "hostPath") -}}
{{- $volumes := list -}}
{{- range .beacons -}}
{{- $volumes = append $volumes (dict "where" (printf "%s.data" .where) "workload" .name "volume" "data" "path" .dataVolumePath "claim" .dataExistingClaim) -}}
{{- end -}}
{{- range $name, $validator := .validators -}}
{{- $volumes = concat $volumes (list
      (dict "where" (printf "validators.%s.data" $name) "workload" $name "volume" "data" "path" $validator.dataVolumePath "claim" $validator.dataExistingClaim)
      (dict "where" (printf "validators.%s.wallet" $name) "workload" $name "volume" "wallet" "path" $validator.walletVolumePath "claim" $validator.walletExistingClaim)) -}}
{{- end -}}
{{- $seen := list -}}
{{- range $volume := $volumes -}}
{{- $field := printf "%s%s" .where (ternary "VolumePath" "ExistingClaim" $byPath) -}}
{{- $place := "" -}}
{{- if $byPath -}}
{{- if .claim -}}
{{- fail (printf "%sExistingClaim is %s, but persistentVolumeType is %s, which takes %s. Remove one of the two." .where .claim $type $field) -}}
{{- end -}}
{{- $place = include "eth2prysm.place" (list $field .path) -}}
{{- else -}}
{{- if and (not .claim) (or (eq $type "existingClaim") (eq .volume "wallet")) -}}
{{- fail (printf "%s is empty, and persistentVolumeType is %s." $field $type) -}}
{{- end -}}
{{- $place = include "eth2prysm.claimName" . -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" $place) -}}
{{- fail (printf "%s: %q is not the name of a claim." $field $place) -}}
{{- end -}}
{{- end -}}
{{- range $other := $seen -}}
{{- if eq $place $other.place -}}
{{- fail (printf "Slashing risk: %s and %s are both %s. Two clients on one wallet or one database are two signers for one key." $other.field $field $place) -}}
{{- end -}}
{{- if and $byPath (or (hasPrefix (printf "%s/" $other.place) $place) (hasPrefix (printf "%s/" $place) $other.place)) -}}
{{- fail (printf "Slashing risk: of %s (%s) and %s (%s) one lies below the other. Give each client directories of its own: two clients on one wallet or one database are two signers for one key." $other.field $other.place $field $place) -}}
{{- end -}}
{{- end -}}
{{- $seen = append $seen (dict "field" $field "place" $place) -}}
{{- end -}}
{{- end -}}

{{/*
Arguments added by hand are on the list of this program and version, or refused. (list ROOT WHERE PROGRAM ARGUMENTS)
*/}}
{{- define "eth2prysm.checkArgs" -}}
{{- $root := index . 0 -}}
{{- $where := index . 1 -}}
{{- $program := index . 2 -}}
{{- $table := $root.Files.Get "files/versions.yaml" | fromYaml -}}
{{- $version := include "eth2prysm.version" $root -}}
{{- $network := include "eth2prysm.network" $root -}}
{{- $allowed := index $table.allowedArgs $program -}}
{{- $given := index . 3 | default list -}}
{{- if not (kindIs "slice" $given) -}}
{{- fail (printf "%s is not a list of arguments." $where) -}}
{{- end -}}
{{- range $argument := $given -}}
{{- if not (kindIs "string" $argument) -}}
{{- fail (printf "%s: %v is not text. Write each argument in quotes." $where $argument) -}}
{{- end -}}
{{- /* The name that is meant, however it is written, for the reason. */ -}}
{{- $meant := regexFind "[a-z0-9][a-z0-9.-]*" (lower $argument) -}}
{{- if hasKey $table.refusedArgs $meant -}}
{{- fail (printf "%s: --%s is refused: %s." $where $meant (get $table.refusedArgs $meant)) -}}
{{- end -}}
{{- if not (regexMatch "^--[a-z0-9][a-z0-9.-]*(=[!-~]*)?$" $argument) -}}
{{- fail (printf "%s: %q is not understood. Write each argument as one entry without spaces, --flag or --flag=value." $where $argument) -}}
{{- end -}}
{{- if contains "$(" $argument -}}
{{- fail (printf "%s: %q: Kubernetes would expand $(...). Write the value itself." $where $argument) -}}
{{- end -}}
{{- $flag := regexReplaceAll "=.*$" (trimPrefix "--" $argument) "" -}}
{{- if not (hasKey $allowed $flag) -}}
{{- fail (printf "%s: --%s is not on the list of arguments that may be given to the %s (allowedArgs in files/versions.yaml). If Prysm %s has it, and it touches neither keys nor history, ask the project to add it." $where $flag $program $root.Values.image.version) -}}
{{- end -}}
{{- $entry := get $allowed $flag -}}
{{- if not (include "eth2prysm.within" (list $version $entry)) -}}
{{- fail (printf "%s: Prysm %s has no --%s (%s). With an unknown flag it would exit with success, doing nothing." $where $root.Values.image.version $flag (ternary (printf "it came with v%s" (default "" $entry.first)) (printf "it was last in v%s" (default "" $entry.last)) (and (hasKey $entry "first") (semverCompare (printf "<%s" (default "0.0.0" $entry.first)) $version)))) -}}
{{- end -}}
{{- if and (hasKey $entry "network") (ne $network (default "" $entry.network)) -}}
{{- fail (printf "%s: --%s is for network %s only." $where $flag $entry.network) -}}
{{- end -}}
{{- if and $entry.value (not (contains "=" $argument)) -}}
{{- fail (printf "%s: --%s needs its value in the same entry, --%s=value: it would take the next argument for it." $where $flag $flag) -}}
{{- end -}}
{{- if and (not $entry.value) (not (regexMatch "^--[a-z0-9.-]+(=(true|false))?$" $argument)) -}}
{{- fail (printf "%s: --%s is a switch. Write --%s or --%s=false." $where $flag $flag $flag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Arguments of an emergency: not on the list, because nobody foresaw them, and all the same none that the chart sets, none
that is refused, and none whose name says that it touches keys, history, rewards or places. (list ROOT PROGRAM)
*/}}
{{- define "eth2prysm.checkEmergency" -}}
{{- $root := index . 0 -}}
{{- $program := index . 1 -}}
{{- $where := printf "emergency.%s" $program -}}
{{- $table := $root.Files.Get "files/versions.yaml" | fromYaml -}}
{{- range $argument := index $root.Values.emergency $program -}}
{{- if not (regexMatch "^--[a-z0-9][a-z0-9.-]*(=[!-~]*)?$" $argument) -}}
{{- fail (printf "%s: %q is not understood. Write it as one entry without spaces, --flag or --flag=value." $where $argument) -}}
{{- end -}}
{{- if contains "$(" $argument -}}
{{- fail (printf "%s: %q: Kubernetes would expand $(...). Write the value itself." $where $argument) -}}
{{- end -}}
{{- $flag := regexReplaceAll "=.*$" (trimPrefix "--" $argument) "" -}}
{{- if hasKey $table.refusedArgs $flag -}}
{{- fail (printf "%s: --%s is refused: %s." $where $flag (get $table.refusedArgs $flag)) -}}
{{- end -}}
{{- if not (hasKey (index $table.allowedArgs $program) $flag) -}}
{{- range $what, $pattern := $table.refusedPatterns -}}
{{- if regexMatch $pattern $flag -}}
{{- fail (printf "%s: --%s is refused: its name says that it touches %s." $where $flag $what) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
