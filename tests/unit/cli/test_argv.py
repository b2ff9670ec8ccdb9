"""Secrets in arguments are refused wherever they stand, and never shown again."""

from pathlib import Path

import pytest

from batuta.cli import argv
from batuta.cli.main import main
from tests.unit.cli.terminal import app_in, written

CANARY = "cAnArY-12345"

REFUSED = [
    [f"--token={CANARY}"],
    ["--token", CANARY],
    [f"--password={CANARY}"],
    [f"--PASSWORD={CANARY}"],
    [f"-password={CANARY}"],
    [f"--hf-token={CANARY}"],
    [f"--hf_token={CANARY}"],
    [f"--aws-secret-access-key={CANARY}"],
    [f"--api-key={CANARY}"],
    [f"--apikey={CANARY}"],
    [f"--client-secret={CANARY}"],
    [f"--private-key={CANARY}"],
    [f"--passphrase={CANARY}"],
    [f"--credentials={CANARY}"],
    [f"--pat={CANARY}"],
    ["plan", "--var", f"db_password={CANARY}"],
    ["plan", f"--var=db_password={CANARY}"],
    ["data", "sync", f"s3://user:{CANARY}@bucket.test/x/", "out/"],
    ["data", "sync", f"https://h.test/o?X-Amz-Signature={CANARY}", "out/"],
    ["data", "sync", f"https://h.test/o?sv=1&sig={CANARY}", "out/"],
    ["data", "sync", "hf://x/", "out/", "--", f"--token={CANARY}"],
    ["explain", "hf_" + "a" * 34],
    ["explain", "dapi" + "0" * 32],
    ["explain", "ghp_" + "A" * 36],
    ["explain", "-----BEGIN RSA " + "PRIVATE KEY-----"],
]

ACCEPTED = [
    ["--token-file=~/.secrets/token"],
    ["--profile=prod"],
    ["--password-file", "x"],
    ["plan", "--var", "region=eu"],
    ["plan", "--var", "db_password=env:DB_PASSWORD"],
    ["plan", "--select", "tokens", "--exclude", "password-resets"],
    ["data", "sync", "s3://secret-bucket/tokens/", "out/passwords/"],
    ["apply", "plan.json", "--approve-digest", "9b3fd1c07a52" + "0" * 52],
    ["data", "verify", "x", "--accept-head", "restored the backup of 2026-01-31"],
    ["--version"],
]


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_a_secret_is_refused_with_3_and_not_echoed(arguments: list[str], tmp_path: Path) -> None:
    app = app_in(tmp_path)
    assert main(arguments, app) == 3
    said = written(app.out) + written(app.err)
    assert "error[CLI101]" in said
    assert 'credentials: {accessKeyId: "env:NAME"' in said
    secret = next(a for a in reversed(arguments) if a not in ("out/", "--"))
    assert CANARY not in said
    assert secret not in said


@pytest.mark.parametrize("arguments", ACCEPTED, ids=" ".join)
def test_references_names_and_ordinary_arguments_are_no_secrets(arguments: list[str]) -> None:
    assert argv.secret_in(arguments) is None


def test_the_refusal_points_at_the_argument() -> None:
    assert argv.secret_in(["plan", "--env", "prod", "--token=x"]) == (4, 24)
    assert "batuta plan --env prod --token=x"[24 - 1 :] == "--token=x"
