package args

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRead(t *testing.T) {
	t.Setenv("SNAP_DATA", "/var/snap/microk8s/1")
	path := filepath.Join(t.TempDir(), "kubelet")
	text := `# a comment
--kubeconfig=${SNAP_DATA}/credentials/kubelet.config

--eviction-hard="memory.available<100Mi,nodefs.available<1Gi"
--service-account-issuer='https://kubernetes.default.svc'
"--v=2"
  --anonymous-auth=false
--allow-privileged
#~a closing comment
--secure-port=1
--secure-port=16443`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"--kubeconfig=/var/snap/microk8s/1/credentials/kubelet.config",
		"--eviction-hard=memory.available<100Mi,nodefs.available<1Gi",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--v=2",
		"--anonymous-auth=false",
		"--allow-privileged",
		"--secure-port=1",
		"--secure-port=16443",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if port, err := Value(path, "--secure-port", "6443"); port != "16443" || err != nil {
		t.Errorf("the last of two flags counts: got %q, %v", port, err)
	}
	if port, _ := Value(path, "--other", "6443"); port != "6443" {
		t.Errorf("a flag that is not there: got %q", port)
	}
	if _, err := Read(path + "x"); err == nil {
		t.Error("a missing file is no error")
	}
}
