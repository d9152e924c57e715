module eth2xk8s/lab/prysm

go 1.26.0

require (
	github.com/fsnotify/fsnotify v1.6.0
	github.com/google/uuid v1.6.0
	github.com/supranational/blst v0.3.16
	github.com/ulikunitz/xz v0.5.15
	github.com/wealdtech/go-eth2-wallet-encryptor-keystorev4 v1.1.3
	go.etcd.io/bbolt v1.4.3
	gopkg.in/yaml.v3 v3.0.1
)

require (
	github.com/kr/pretty v0.3.1 // indirect
	golang.org/x/crypto v0.0.0-20201221181555-eec23a3978ad // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.16.0 // indirect
)
