#!/bin/sh
# grpcurl: the contract without its files, by reflection; then a recording to its words.
#
#     agent up                                              # elsewhere; its keys are in keys.json
#     KEY=... examples/clients/grpcurl.sh call.wav          # any audio file of at most 8 MiB and 10 minutes
#     TARGET=ingest.example:443 KEY=... examples/clients/grpcurl.sh call.mp3   # without -plaintext below
set -eu
file=$1
ingest=${TARGET:-127.0.0.1:8021}

# -H goes with every call, with reflection too, which wants a key as everything does.
rpc() { grpcurl -plaintext -H "x-api-key: $KEY" "$@"; }
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }

echo "# What the room serves, and one of its RPCs."
rpc "$ingest" list
rpc "$ingest" describe agent.ingest.v1.AudioService.PutChunk

echo "# Start a meeting."
meeting=$(rpc -d '{"title": "A session with grpcurl", "mode": "upload"}' \
  "$ingest" agent.ingest.v1.MeetingService/StartMeeting | field meetingId)
echo "$meeting"

echo "# Send the file as its only chunk; bytes are base64 in JSON, and -d @ reads standard input."
printf '{"meetingId": "%s", "content": "%s", "sequence": 1, "last": true}' "$meeting" "$(base64 -w 0 "$file")" |
  rpc -d @ "$ingest" agent.ingest.v1.AudioService/PutChunk

echo "# Watch until the report is there: the words, the account, the end."
rpc -d "{\"meetingId\": \"$meeting\", \"after\": 0}" "$ingest" agent.ingest.v1.MeetingService/WatchMeeting

echo "# A refusal has a reason that programs can read."
rpc -d '{"meetingId": "nowhere"}' "$ingest" agent.ingest.v1.MeetingService/GetMeeting || true
