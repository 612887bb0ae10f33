"""Attack 40: a decision that nobody made, by webhook: forged, replayed, old, for another approval, by a link."""

import time
from pathlib import Path

from tests.admin.test_access import refusal_of
from tests.webhooks.integrations import SIGNING, elsewhere, integrated, pressed, signed, signed_slack

FORGED = (401, "webhook_signature")
OTHER = "whsec_" + "eHh4" * 10


async def test_no_decision_that_nobody_made_counts(tmp_path: Path) -> None:
    async with elsewhere(integrated(tmp_path, groups={"finance-leads": {"quorum": 2}})) as there:
        body = there.body()
        # Without the secret, or with another one's.
        assert refusal_of(await there.post(body, {"Content-Type": "application/json"})) == FORGED
        assert refusal_of(await there.post(body, signed(body, secret=OTHER))) == FORGED
        assert refusal_of(await there.post(body, integration="chat")) == FORGED
        assert refusal_of(await there.post(body, integration="none")) == FORGED
        # Another body, another moment, another id under a good signature.
        good = signed(body, name="good")
        assert refusal_of(await there.post(there.body(by="bob"), good)) == FORGED
        assert refusal_of(await there.post(body, good | {"webhook-id": "other"})) == FORGED
        for away in (-400, 400):
            assert refusal_of(await there.post(body, signed(body, at=time.time() + away))) == FORGED
        # Who calls with a token is nobody else by it.
        token = there.people.desk.token("nobody", sub="ann", groups=["finance-leads"])
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        assert refusal_of(await there.post(body, headers)) == FORGED
        assert await there.state() == ("pending", 0)
        # The same request again.
        assert (await there.post(body, good)).status_code == 200
        assert refusal_of(await there.post(body, good)) == (409, "webhook_replayed")
        assert await there.state() == ("pending", 1)
        # No leave goes on to the admin API: other paths aren't webhooks'.
        for path in (f"/webhooks/approvals/{there.approval}/cancel", "/webhooks/", "/webhooks/../api/v1/approvals"):
            assert (await there.http.post(path, content=body, headers=signed(body, name="p"))).status_code in (
                400,
                401,
                404,
            )
        assert (await there.http.get(f"/webhooks/approvals/{there.approval}?integration=pager")).status_code == 405


async def test_slack_presses_are_slacks_and_taken_once(tmp_path: Path) -> None:
    async with elsewhere(integrated(tmp_path, groups={"finance-leads": {"quorum": 2}})) as there:
        body = pressed(there.approval)
        for headers in (
            signed_slack(body, secret=b"x" * 32), signed_slack(pressed(there.approval, "Ubob")),
            signed_slack(body, at=time.time() - 400), signed_slack(body, at=time.time() + 400),
            {"Content-Type": "application/x-www-form-urlencoded"},
        ):  # fmt: skip
            assert refusal_of(await there.press(body, headers)) == FORGED
        good = signed_slack(body, secret=SIGNING)
        assert (await there.press(body, good)).status_code == 200
        assert refusal_of(await there.press(body, good)) == (409, "webhook_replayed")
        # Somebody of the same id in another workspace, and who isn't mapped.
        assert refusal_of(await there.press(pressed(there.approval, team="T2"))) == (403, "webhook_person")
        assert refusal_of(await there.press(pressed(there.approval, "Uzoe"))) == (403, "webhook_person")
        assert await there.state() == ("pending", 1)
