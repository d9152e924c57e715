"""`snap` and `microk8s` for machines that cannot reach the snap store, over a real Kubernetes.

The programs keep the contract of the real ones: output, exit codes, files, services. They run on a bare machine, so
nothing but Python's standard library and the machine's own programs is used.
"""
