"""A bot that answers `!echo …`, each one once. On the bare WebSocket.

    pip install -r examples/requirements.txt
    ROOMCAST_TOKEN=$(roomcast token bot@example.com) python examples/bot.py URL ROOM_ID

Its user has to be a member of the room.
"""

import asyncio
import json
import os
import sys
import uuid

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def run(url, room_id):
    url = url.rstrip("/").replace("http", "ws", 1) + "/ws"
    headers = {"Authorization": f"Bearer {os.environ['ROOMCAST_TOKEN']}"}
    last = None  # the seq of the last message seen
    waiting = {}  # answers that are not known to be stored, by clientMsgId
    # Comes back after every loss, each time a little later; a refused token ends it.
    async for socket in connect(url, additional_headers=headers):

        async def say(event, data):
            await socket.send(json.dumps({"event": event, "data": {"roomId": room_id, **data}}))

        try:
            await say("joinRoom", {} if last is None else {"after": last})
            async for frame in socket:
                frame = json.loads(frame)
                event, data = frame["event"], frame["data"]
                if event == "roomJoined":
                    last = data["lastSeq"]
                    print("listening", flush=True)
                    for answer in waiting.values():
                        await say("sendMessage", answer)
                elif event == "newMessage":
                    is_own = waiting.pop(data["clientMsgId"], None) is not None
                    is_new, last = data["seq"] > last, max(last, data["seq"])
                    if is_new and not is_own and data["content"].startswith("!echo "):
                        # The same id for the same question: sent again, it is there once.
                        answer_id = str(uuid.uuid5(uuid.NAMESPACE_OID, data["id"]))
                        waiting[answer_id] = {"clientMsgId": answer_id, "content": data["content"][6:]}
                        await say("sendMessage", waiting[answer_id])
                elif event == "messageFailed" and not data["retryable"]:
                    waiting.pop(data["clientMsgId"], None)
                elif event == "messageFailed" and data["clientMsgId"] in waiting:
                    await asyncio.sleep(data.get("retryAfterMs", 1000) / 1000)
                    await say("sendMessage", waiting[data["clientMsgId"]])
                elif event == "error":
                    print("refused:", data["code"], data["message"], file=sys.stderr)
        except ConnectionClosed as closed:
            print("offline:", closed, file=sys.stderr)


asyncio.run(run(*sys.argv[1:3]))
