from gateway.telemetry import semconv


def test_names_are_unique_and_ours_are_ours():
    names = {key: value for key, value in vars(semconv).items() if key.isupper()}
    assert len(set(names.values())) == len(names)
    assert all(value.startswith("hopgate.") for key, value in names.items() if key.startswith("HOPGATE_"))
    assert all(value.startswith("hopgate_") for key, value in names.items() if key.startswith("METRIC_"))


def test_hop_spans_are_named_by_method_and_target():
    assert semconv.hop_span_name("tools/call", "read_balance") == "tools/call read_balance"
    assert semconv.hop_span_name("tools/list") == "tools/list"
