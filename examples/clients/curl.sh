#!/bin/sh
# curl: a recording to a transcript and a report.
#
#     agent up                                              # elsewhere; its keys are in keys.json
#     KEY=... examples/clients/curl.sh call.wav             # any audio file of at most 8 MiB and 10 minutes
#     URL=https://agent.example KEY=... examples/clients/curl.sh call.mp3
set -eu
file=$1
url=${URL:-http://127.0.0.1:8010}

# Failures are problem documents; --fail-with-body shows them and ends the script.
api() { curl --silent --show-error --fail-with-body --header "X-API-Key: $KEY" "$@"; }
# The first string field of this name; with jq it is `jq -r .name`.
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }

echo "# Start a meeting."
meeting=$(api --json '{"title": "A session with curl", "mode": "upload"}' "$url/v1/meetings/start" | field meeting_id)
echo "$meeting"

echo "# Send the file as its only chunk; once it is answered, it is on the server's disk."
api --form "content=@$file" --form sequence=1 --form display_name=Anna --form last=true \
  "$url/v1/meetings/$meeting/chunks"
echo

echo "# Wait for the report."
until api "$url/v1/meetings/$meeting" | grep -q '"report_state": *"ready"'; do sleep 1; done

echo "# The transcript as subtitles."
api "$url/v1/meetings/$meeting/artifact?kind=raw&fmt=srt"

echo "# What was heard, silent, muted or lost: it adds up to the whole meeting."
api "$url/v1/meetings/$meeting/coverage"
echo

echo "# The report."
api "$url/v1/meetings/$meeting/report/text"

echo "# Erase everything."
api --request DELETE "$url/v1/meetings/$meeting?reason=example"
echo
