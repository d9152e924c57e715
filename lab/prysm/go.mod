module eth2xk8s/lab/prysm

go 1.26

require (
	github.com/fsnotify/fsnotify v1.6.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/prometheus/client_golang v1.20.5 // indirect
	github.com/supranational/blst v0.3.16 // indirect
	github.com/ulikunitz/xz v0.5.15 // indirect
	github.com/wealdtech/go-eth2-wallet-encryptor-keystorev4 v1.1.3 // indirect
	go.etcd.io/bbolt v1.3.6 // indirect
	golang.org/x/crypto v0.0.0-20201221181555-eec23a3978ad // indirect
	golang.org/x/sys v0.22.0 // indirect
	golang.org/x/text v0.16.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
