"""Where a process learns which one of its run it is."""

import pytest
from jax._src.clusters import cloud_tpu_cluster

from amber_jax.training.membership import Membership, membership

SLURM = {
    "SLURM_JOB_ID": "4099",
    "SLURM_STEP_NODELIST": "node[007-010,12]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
}
GKE = {"TPU_WORKER_HOSTNAMES": "a-0.a,a-1.a", "TPU_WORKER_ID": "1"}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    """No cluster is around."""
    for name in (*SLURM, *GKE, "SLURM_STEP_TASKS_PER_NODE", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", False)


def surround(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("who", "wanted"),
    [
        ("host:8476,4,3", Membership(("host", 8476), 4, 3)),
        ("[::1]:8476,1,0", Membership(("::1", 8476), 1, 0)),
    ],
)
def test_a_flag_says_it(who, wanted):
    assert membership(who, seconds=1) == wanted


@pytest.mark.parametrize(
    "who", ["host,2,0", "host:8476", "host:8476,2,2", "host:0,2,0", "host:8476,a,0"]
)
def test_what_says_nothing_is_refused(who):
    with pytest.raises(ValueError):
        membership(who, seconds=1)


def test_nothing_around_is_said():
    with pytest.raises(ValueError, match="neither a TPU pod, Slurm"):
        membership("auto", seconds=1)


@pytest.mark.parametrize(
    ("of_a_node", "devices"),
    [("1(x4)", None), ("1", None), ("2(x2)", [0]), ("1(x2),2", [0])],
)
def test_slurm_says_it_and_a_process_alone_on_its_node_has_all_devices(
    of_a_node, devices, monkeypatch
):
    surround(monkeypatch, {**SLURM, "SLURM_STEP_TASKS_PER_NODE": of_a_node})
    wanted = Membership(("node007", 61443), 4, 2, devices)
    assert membership("auto", seconds=1) == wanted


def test_gke_says_it(monkeypatch):
    surround(monkeypatch, GKE)
    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)
    monkeypatch.setattr(cloud_tpu_cluster.socket, "gethostbyname", lambda _: "10.0.0.1")
    monkeypatch.setattr(cloud_tpu_cluster, "get_metadata", lambda _: ("", 404))
    assert membership("auto", seconds=1) == Membership(("a-0.a", 8482), 2, 1)


def test_a_tpu_vms_metadata_say_it(monkeypatch):
    metadata = {
        "agent-worker-number": "1",
        "worker-network-endpoints": "x:y:10.0.0.1,x:z:10.0.0.2",
        "tpu-env": "",
    }
    monkeypatch.delenv("TPU_SKIP_MDS_QUERY", raising=False)
    monkeypatch.delenv("TPU_PROCESS_ADDRESSES", raising=False)
    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)
    monkeypatch.setattr(
        cloud_tpu_cluster, "get_metadata", lambda key: (metadata[key], 200)
    )
    assert membership("auto", seconds=1) == Membership(("10.0.0.1", 8482), 2, 1)
