"""The network examples: each lets Lethe, and nothing else, reach the model server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from server.settings import Settings, variable
from server.upstream_endpoints import ENDPOINTS

DEPLOY = Path(__file__).parents[2] / "deploy"
NETWORK = DEPLOY / "network"


def loaded(name: str) -> Any:
    return yaml.safe_load((NETWORK / name).read_text())


def test_in_compose_only_lethe_shares_the_network_of_the_model_server() -> None:
    compose = loaded("compose.yaml")
    services, vllm = compose["services"], compose["services"]["vllm"]
    assert vllm["networks"] == ["model"]
    assert compose["networks"]["model"] == {"internal": True}
    assert not {"ports", "network_mode", "links"} & set(vllm)
    assert [name for name, service in services.items() if "model" in service["networks"]] == ["vllm", "lethe"]
    assert services["lethe"]["ports"] == ["8080:8080"]


def test_in_compose_the_key_is_shared_and_nothing_opens_administration() -> None:
    services = loaded("compose.yaml")["services"]
    vllm, lethe = services["vllm"]["environment"], services["lethe"]["environment"]
    assert vllm["VLLM_API_KEY"].startswith("${VLLM_KEY:?")
    assert lethe["LETHE_UPSTREAM_API_KEY"] == "${VLLM_KEY}"
    assert not {"VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"} & set(vllm)
    known = {variable(name) for name in Settings.model_fields}
    assert {name for name in lethe if name.startswith("LETHE_")} <= known
    flags = [word for word in services["lethe"]["command"] if word.startswith("--")]
    assert {variable(flag.removeprefix("--").replace("-", "_")) for flag in flags} <= known


def test_in_kubernetes_only_pods_of_lethe_reach_the_model_server() -> None:
    policy = loaded("networkpolicy.yaml")
    assert (policy["apiVersion"], policy["kind"]) == ("networking.k8s.io/v1", "NetworkPolicy")
    spec = policy["spec"]
    assert spec["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "vllm"}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    (rule,) = spec["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "lethe"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8000}]
    assert all(port["port"] == 53 for rule in spec["egress"] for port in rule["ports"])


def test_the_packet_filter_refuses_whoever_is_not_lethe() -> None:
    rules = (NETWORK / "nftables.conf").read_text()
    on_port = [line.strip() for line in rules.splitlines() if "dport $vllm_port" in line]
    assert len(on_port) == 3
    assert any("skuid != $lethe_user reject" in line for line in on_port)
    accepted = [line for line in on_port if line.endswith("accept")]
    assert accepted == ["tcp dport $vllm_port ip saddr $lethe_addresses accept"]
    assert on_port.index(accepted[0]) + 1 == on_port.index("tcp dport $vllm_port reject with tcp reset")
    assert rules.count("{") == rules.count("}")


def test_the_page_names_files_that_exist_and_paths_that_are_looked_for() -> None:
    for page in (DEPLOY / "README.md", DEPLOY / "network.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (DEPLOY / target).exists(), f"{page.name} names {target}"
    table = (DEPLOY / "network.md").read_text().split("| path |")[1].split("\n\n")[0]
    named = set(re.findall(r"`(/[a-z_./0-9]+)`", table))
    assert {"/invocations", "/adapters", "/collective_rpc", "/scale_elastic_ep"} <= named
    assert named <= {endpoint.path for endpoint in ENDPOINTS}
