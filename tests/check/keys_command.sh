#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tolltap keys: what each subcommand prints and returns; the fingerprint is an HMAC that openssl
# computes too, a key on a terminal is not shown, and no key is in what is printed.
# usage: keys_command.sh BUILD_DIR
set -u
cd "$(dirname "$0")/../.." || exit 1
tolltap=${1:-build}/tolltap
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0
key=sk-test-0123456789abcdef
secret=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
umask 077
echo $secret > "$work/secret"
echo $key > "$work/key"
: > "$work/empty"
cat > "$work/tolltap.yaml" <<'YAML'
keys:
  - fingerprint: "0badcafe"
    name: nightly-batch
    owner: data-team
    provider: openai
    key_id: key_1
YAML

# expect NAME CODE TEXT STDIN COMMAND...: the exit code, and TEXT somewhere in what is printed.
expect() {
	name=$1 code=$2 text=$3 input=$4
	shift 4
	"$tolltap" keys --storage.path="$work" "$@" < "$input" > "$work/out" 2>&1
	got=$?
	if [ "$got" -ne "$code" ]; then
		echo "FAIL keys_$name: exit code $got, not $code"
		failed=1
	elif ! grep -qF -- "$text" "$work/out"; then
		echo "FAIL keys_$name: \"$text\" is not in what it printed"
		failed=1
	elif grep -qF -- "$key" "$work/out"; then
		echo "FAIL keys_$name: it printed the key"
		failed=1
	else
		echo "ok keys_$name"
	fi
}

ours=$(printf %s $key | openssl dgst -sha256 -mac HMAC -macopt hexkey:$secret | sed 's/.*= //' | cut -c1-8)
expect help 0 'usage: tolltap keys' /dev/null --help
expect no_subcommand 2 'write: tolltap keys fingerprint' /dev/null
expect operand_is_refused 2 'write: tolltap keys fingerprint' /dev/null fingerprint x
expect fingerprint_of_a_shared_secret 0 "$ours" "$work/key" fingerprint --fingerprint.key-file="$work/secret"
expect no_secret_yet 6 'no secret in' "$work/key" fingerprint
expect empty_input 2 'it holds no key' "$work/empty" fingerprint --fingerprint.key-file="$work/secret"
expect many_lines 2 'give one line' "$work/tolltap.yaml" fingerprint --fingerprint.key-file="$work/secret"
chmod 0644 "$work/secret"
expect secret_that_others_can_read 3 'others can read it' "$work/key" fingerprint --fingerprint.key-file="$work/secret"
chmod 0400 "$work/secret"
expect list 0 '0badcafe     nightly-batch  data-team  openai    key_1' /dev/null list --config.file="$work/tolltap.yaml"
expect list_json 0 '{"fingerprint":"0badcafe","name":"nightly-batch"' /dev/null list --config.file="$work/tolltap.yaml" --output=json

# On a terminal of its own: typed, not shown, and the terminal is as it was after.
if /usr/bin/python3 tests/lib/typed.py "$key" "$tolltap" keys fingerprint --fingerprint.key-file="$work/secret" > "$work/out" 2>&1 &&
	grep -qF "$ours" "$work/out" && ! grep -qF "$key" "$work/out"; then
	echo "ok keys_typed_on_a_terminal"
else
	echo "FAIL keys_typed_on_a_terminal: $(cat "$work/out")"
	failed=1
fi

# With a ledger: its own secret, and its name in spend.
if "$tolltap" replay packaging/demo/recording.ttr --into="$work/ledger" > /dev/null 2>&1; then
	seen=$("$tolltap" spend --storage.path="$work/ledger" --by=key_fingerprint --output=json | sed -n 's/.*"key_fingerprint":"\([0-9a-f]*\)".*/\1/p' | head -1)
	printf 'keys:\n  - {fingerprint: "%s", name: demo-key}\n' "$seen" > "$work/named.yaml"
	calls() { "$tolltap" spend --storage.path="$work/ledger" --config.file="$work/named.yaml" --output=json "$@" | tail -1 | sed 's/.*"calls":\([0-9]*\).*/\1/'; }
	if [ "$(calls --by=key --where=key=demo-key)" = "$(calls --where=key_fingerprint="$seen")" ] && [ "$(calls --where=key=demo-key)" -gt 0 ]; then
		echo "ok keys_name_in_spend"
	else
		echo "FAIL keys_name_in_spend"
		failed=1
	fi
else
	echo "FAIL keys_name_in_spend: the recording does not replay"
	failed=1
fi
exit $failed
