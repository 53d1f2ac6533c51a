"""
The documentation's two requests, with today's timestamps, and the answers that it shows.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from demo.connection import FEATURES_PATH, TIMEOUT_SECONDS, Client
from demo.console import Console

INGESTED = {
    "workspaceName": "ingestapi-live",
    "ingestMetrics": {
        "featureViewIngestMetrics": [
            {
                "featureViewName": "click_events_fv",
                "onlineRecordIngestCount": "2",
                "offlineRecordIngestCount": "2",
            }
        ]
    },
}
SERVED = {"result": {"features": ["1"]}}


def send_and_read(url: str, api_key: str, now: datetime, console: Console) -> None:
    """Send the documented events, read the documented feature, compare both answers."""
    answer = _post(url, "/ingest", api_key, ingest_body(now), console)
    console.check("the documentation's answer to /ingest", wrong=answer != INGESTED)
    answer = _post(url, FEATURES_PATH, api_key, READ_BODY, console)
    console.check("the documentation's feature from get-features", wrong=answer != SERVED)


def ingest_body(now: datetime) -> dict[str, Any]:
    """Two clicks, one a minute and one four days before *now*."""
    clicks = [
        ("C18947Z5", now - timedelta(minutes=1)),
        ("C98FG569", now - timedelta(days=4)),
    ]
    records = [
        {"record": {"timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}", "user_id": user, "clicked": 1}}
        for user, at in clicks
    ]
    return {
        "workspace_name": "ingestapi-live",
        "dry_run": False,
        "records": {"impressions_event_source": records},
    }


READ_BODY = {
    "params": {
        "workspace_name": "ingestapi-live",
        "feature_service_name": "ad_ctr_feature_service",
        "join_key_map": {"user_id": "C18947Z5"},
    }
}


def _post(url: str, path: str, api_key: str, body: Mapping[str, Any], console: Console) -> Any:
    """Post with curl as the documentation does; where there is none, with our own client."""
    shown = json.dumps(body, indent=2).replace("\n", "\n     ")
    console.say(f'$ curl -X POST {url}{path} -H "Authorization: Tecton-key $TECTON_API_KEY" -d\\')
    console.say(f"    '{shown}'")
    if shutil.which("curl") is None:
        with Client(url, api_key) as client:
            answer = client.post(path, body)
        console.say(json.dumps(answer))
        return answer
    header = f"Authorization: Tecton-key {api_key}"
    # The service is on this machine, whatever proxy leads out of it.
    command = ["curl", "-sS", "--noproxy", "*", "-X", "POST", url + path]
    done = subprocess.run(
        [*command, "-H", header, "-d", json.dumps(body)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    console.say(done.stdout or done.stderr)
    return _parsed(done.stdout)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
