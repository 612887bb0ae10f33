import pytest


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("HOPGATE__LISTEN__DATA__PORT", "0", lambda s: s.listen.data.port == 0),
        ("hopgate__listen__data__port", "7", lambda s: s.listen.data.port == 7),
        ("HOPGATE__ISSUER", "https://other.test", lambda s: s.issuer == "https://other.test"),
        ("HOPGATE__ISSUERS__0__LEEWAY_SECONDS", "5", lambda s: s.issuers[0].leeway_seconds == 5),
        (
            "HOPGATE__LISTEN__DATA__HOSTS",
            "[a.test, 'b.test:1']",
            lambda s: s.listen.data.hosts == ("a.test", "b.test:1"),
        ),
        ("HOPGATE__ROUTES__MCP__LEDGER__USER", "optional", lambda s: s.routes.mcp["ledger"].user == "optional"),
        ("HOPGATE__STORE__URL", "sqlite:////var/x.db", lambda s: str(s.store.path) == "/var/x.db"),
        ("HOPGATE__TELEMETRY__SAMPLE_RATIO", "0", lambda s: s.telemetry.sample_ratio == 0.0),
        ("HOPGATE__ISSUERS__0__CLAIMS__EMAIL", "null", lambda s: s.issuers[0].claims.email is None),
    ],
)
def test_a_variable_sets_one_setting(folder, variable, value, read):
    folder.environ[variable] = value
    assert read(folder.loaded().settings)


def test_other_settings_stay(folder):
    folder.environ["HOPGATE__LISTEN__DATA__PORT"] = "0"
    settings = folder.loaded().settings
    assert settings.listen.public.port == 8444
    assert settings.issuers[0].name == "corp"


def test_a_variable_mends_what_the_file_has_wrong(folder):
    folder.settings("version: 1", "version: 1\nlisten: {data: {port: many}}")
    assert folder.errors()
    folder.environ["HOPGATE__LISTEN__DATA__PORT"] = "1"
    assert folder.loaded().settings.listen.data.port == 1


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("HOPGATE__LISTEN__DATA__PROT", "did you mean PORT for PROT?"),
        ("HOPGATE__LISTN__DATA__PORT", "did you mean LISTEN for LISTN?"),
        ("HOPGATE__ISSUERS__1__NAME", "index of an existing list item"),
        ("HOPGATE__ISSUERS__X", "index of an existing list item"),
        ("HOPGATE__VERSION__X", "an override names a key"),
        ("HOPGATE__", "known: "),
        ("HOPGATE__LISTEN__", "known: "),
    ],
)
def test_a_variable_that_fits_nothing_is_named(folder, variable, hint):
    folder.environ[variable] = "1"
    (error,) = folder.errors()
    assert error.startswith(f"environment: {variable}: no setting has this name (")
    assert hint in error


@pytest.mark.parametrize("value", ["{a: 1}", "a: b", "[1", "x\ny: 2", "&a 1"])
def test_a_value_that_is_no_scalar_is_refused_without_being_repeated(folder, value):
    folder.environ["HOPGATE__STORE__URL"] = value
    (error,) = folder.errors()
    assert error.startswith("environment: HOPGATE__STORE__URL: the value")
    assert f": {value}" not in error


def test_a_bad_value_names_the_variable_and_not_a_line_of_the_file(folder):
    folder.environ["HOPGATE__PUBLIC_URL"] = "http://plain.test"
    (error,) = folder.errors()
    assert error.startswith("environment: HOPGATE__PUBLIC_URL: 'http://plain.test' does not begin with https://")


def test_a_literal_secret_in_a_variable_is_not_repeated(folder):
    folder.environ["HOPGATE__KEYS__SEALING"] = "correct-horse-battery"
    (error,) = folder.errors()
    assert "HOPGATE__KEYS__SEALING" in error
    assert "correct-horse" not in error


def test_other_variables_are_none_of_ours(folder):
    folder.environ |= {"HOPGATE_HOME": "/x", "HOPGATE": "y", "PATH": "/bin"}
    folder.loaded()


def test_two_variables_for_one_setting_are_refused(folder):
    folder.environ |= {"HOPGATE__LISTEN__DATA__PORT": "1", "hopgate__listen__data__port": "2"}
    (error,) = folder.errors()
    assert error == (
        "environment: hopgate__listen__data__port: HOPGATE__LISTEN__DATA__PORT sets the same setting "
        "(keep one of the two)"
    )
