"""An image says what its document says: every verdict of the two is the same."""

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hopgate_bpf.rules.document import ClassRules, KernelRules
from hopgate_bpf.rules.image import Strictness, write_image
from hopgate_bpf.rules.reading import read_document
from tests.bpf import interpreter
from tests.bpf.documents import class_rules, document, example, network, written
from tests.bpf.image_reader import read_image

HOSTS = ("models.example", "gateway.internal", "gone.example")
ADDRESSES = (
    *map(IPv4Address, ("10.1.2.3", "10.1.2.4", "10.9.0.1", "127.0.0.1", "0.0.0.0", "192.0.2.7")),
    *map(IPv6Address, ("::", "::1", "2001:db8::1", "2001:db8:1::2", "::ffff:10.1.2.3", "fe80::1")),
)
NETWORKS = (
    "10.0.0.0/8",
    "10.1.2.0/24",
    "10.1.2.3",
    "0.0.0.0/0",
    "127.0.0.1",
    "::/0",
    "2001:db8::/32",
    "::1",
    "::",
    "::/8",
)
PORTS = (0, 22, 443, 65535)
rules = st.builds(
    network,
    st.sampled_from(["permit", "permit", "forbid"]),
    st.sampled_from([None, *HOSTS, *NETWORKS]),
    st.sampled_from([None, *PORTS]),
    st.sampled_from([None, "tcp", "udp"]),
)
names = st.fixed_dictionaries(
    {},
    optional={host: st.none() | st.frozensets(st.sampled_from(ADDRESSES), max_size=3) for host in HOSTS},
)


def read(**given: Any) -> tuple[KernelRules, ClassRules]:
    whole = read_document(written(document(class_rules(**given))))
    return whole, whole.classes[0]


@given(st.lists(rules, max_size=6), st.lists(rules, max_size=3), names)
def test_every_destination_is_decided_as_by_the_rules(
    connect: list[dict[str, Any]], listen: list[dict[str, Any]], known: dict[str, Any]
) -> None:
    whole, one = read(network=connect, binds=listen)
    image = read_image(write_image(whole, known, {}).content).classes["data-analyst"]
    for table, listed in (("network", one.network), ("binds", one.binds)):
        for address in ADDRESSES:
            for port in (*PORTS, 80):
                for protocol in ("tcp", "udp"):
                    told = image.allows(table, address, port, protocol)
                    assert told == interpreter.allows(listed, known, address, port, protocol), (table, address, port)


paths = st.lists(st.sampled_from(["/", "a", "b", "workspace", "/etc", "é", "\udcff"]), max_size=6).map("".join)


@given(st.dictionaries(paths.filter(lambda p: "\udcff" not in p), st.integers(1, 15), min_size=1, max_size=5), paths)
def test_every_path_is_decided_as_by_the_automaton(patterns: dict[str, int], path: str) -> None:
    wild = {pattern + ("*" if mask % 2 else ""): mask for pattern, mask in patterns.items()}
    whole, one = read(patterns=wild)
    image = read_image(write_image(whole, {}, {}).content).classes["data-analyst"]
    asked = path.encode("utf-8", "surrogateescape")
    assert image.file_mask(asked) & 15 == interpreter.file_mask(one.files.automaton, asked)


@given(
    st.dictionaries(paths.filter(lambda p: "\udcff" not in p), st.integers(1, 15), min_size=1, max_size=4),
    paths,
    paths.filter(lambda p: "\udcff" not in p),
)
def test_what_is_said_of_longer_paths_is_true(patterns: dict[str, int], folder: str, rest: str) -> None:
    wild = {pattern + ("*" if mask % 2 else ""): mask for pattern, mask in patterns.items()}
    whole, one = read(patterns=wild)
    image = read_image(write_image(whole, {}, {}).content).classes["data-analyst"]
    said = image.file_mask(folder.encode("utf-8", "surrogateescape"))
    below = interpreter.file_mask(one.files.automaton, (folder + "/" + rest).encode("utf-8", "surrogateescape"))
    assert not below or said & 16, "an action below, but no LEADS"
    assert below & 3 == 3 or not said & 32, "WHOLE, but something below isn't readable and writable"


def test_folders_of_a_workspace_lead_there_and_are_whole_within() -> None:
    whole, _ = read(patterns={"/workspace/*": 3, "/etc/hosts": 1})
    image = read_image(write_image(whole, {}, {}).content).classes["data-analyst"]
    said = {path: image.file_mask(path.encode()) for path in ("", "/workspace", "/workspace/a", "/etc", "/home")}
    assert said == {"": 16, "/workspace": 16 | 32, "/workspace/a": 3 | 16 | 32, "/etc": 16, "/home": 0}


def test_everything_of_a_class_is_in_its_image() -> None:
    whole = read_document(written(example()))
    written_image = write_image(whole, {}, {"data-analyst": Strictness(revalidate=True, deny_anonymous_code=True)})
    image = read_image(written_image.content)
    assert image.generation == whole.generation
    assert image.digest.hex() == whole.digest.removeprefix("sha256:")
    for rules in whole.classes:
        found = image.classes[rules.name]
        strict = 24 if rules.name == "data-analyst" else 0
        assert found.flags == rules.audit * 1 + rules.hide * 2 + rules.spawn * 4 + strict
        assert found.anchors == tuple((a.path, a.prefix, a.mask, a.policy) for a in rules.files.anchors)
    assert written_image == write_image(whole, {}, {"data-analyst": Strictness(True, True)})


def test_a_name_that_is_unknown_permits_nothing_and_forbids_everywhere_and_says_so() -> None:
    permits = [network("permit", None, 443), network("permit", "models.example", 22)]
    whole, _ = read(network=[*permits, network("forbid", "gone.example", 443)])
    image = write_image(whole, {}, {})
    found = read_image(image.content).classes["data-analyst"]
    assert not found.allows("network", ADDRESSES[0], 443, "tcp")
    assert not found.allows("network", ADDRESSES[0], 22, "tcp")
    assert image.narrowed == {
        "data-analyst": (
            "models.example is unknown: nothing is permitted there",
            "gone.example is unknown: what is forbidden there is forbidden everywhere",
        )
    }


def test_ports_that_names_pile_up_on_one_address_are_not_permitted() -> None:
    shared = frozenset([ADDRESSES[0]])
    names = [f"host-{number}.example" for number in range(20)]
    listed = [network("permit", name, 1000 + number) for number, name in enumerate(names)]
    whole, _ = read(network=[*listed, network("forbid", None, 22)])
    image = write_image(whole, dict.fromkeys(names, shared), {})
    found = read_image(image.content).classes["data-analyst"]
    assert not any(found.allows("network", ADDRESSES[0], 1000 + number, "tcp") for number in range(20))
    assert "10.1.2.3/32: 21 ports, more than 16" in image.narrowed["data-analyst"][0]
    fits = write_image(whole, dict.fromkeys(names[:3], shared), {})
    assert read_image(fits.content).classes["data-analyst"].allows("network", ADDRESSES[0], 1002, "udp")


def test_more_addresses_than_a_table_holds_are_all_denied() -> None:
    names = [f"h{number}.example" for number in range(65)]
    pools = {
        name: frozenset(IPv4Address(0x0A000000 + number * 256 + each) for each in range(256))
        for number, name in enumerate(names)
    }
    whole, _ = read(network=[network("permit", name) for name in names])
    image = write_image(whole, pools, {})
    assert read_image(image.content).classes["data-analyst"].network == {}
    assert "all are denied" in image.narrowed["data-analyst"][0]
