"""The floor: what a short script would be. paho's callback parses JSON, and POSTs with a requests session.

Arguments: the broker's port, QoS, topic, limit, URL. It POSTs for each value above the limit. All else is as the
libraries come; that is MQTT 3.1.1, which paho reads faster than MQTT 5.
"""

import json
import sys
from typing import Any

import requests
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion


def main() -> None:
    port, qos, topic, limit, url = sys.argv[1:]
    above = float(limit)
    session = requests.Session()
    session.headers["Authorization"] = "secret"

    def on_connect(client: Client, *_: Any) -> None:
        client.subscribe(topic, int(qos))

    def on_subscribe(*_: Any) -> None:
        print("subscribed", flush=True)

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        if json.loads(message.payload)["value"] > above:
            session.post(url, timeout=15)

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.connect("127.0.0.1", int(port))
    client.loop_forever()


if __name__ == "__main__":
    main()
