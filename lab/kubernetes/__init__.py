"""Kubernetes for the lab's machines: built from Go modules, put behind the stand-ins `snap` and `microk8s`."""

from __future__ import annotations

from lab.kubernetes.build import Payload, build
from lab.kubernetes.images import images
from lab.kubernetes.stage import REGISTRY, stage, stage_key

__all__ = ["REGISTRY", "Payload", "build", "images", "stage", "stage_key"]
