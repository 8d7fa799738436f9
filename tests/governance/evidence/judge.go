// Judges a log by Go's own packages: sumdb/note for signatures, sumdb/tlog for proofs. Reads lines of JSON, answers each
// with "ok" or why not. Built with Debian's golang-go and golang-golang-x-mod-dev, nothing from the network.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type question struct {
	Key, Note, OldNote string
	Leaf               []byte
	Position           int64
	Proof              [][]byte
}

func hash(b []byte) (h tlog.Hash) { copy(h[:], b); return }

func opened(key, text string) (string, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return "", err
	}
	n, err := note.Open([]byte(text), note.VerifierList(verifier))
	if err != nil {
		return "", err
	}
	return n.Text, nil
}

// head reads size and root of a checkpoint: tlog.ParseTree wants Go's own first line.
func head(key, text string) (tlog.Tree, error) {
	body, err := opened(key, text)
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.SplitN(body, "\n", 2)
	return tlog.ParseTree([]byte("go.sum database tree\n" + lines[1]))
}

func judge(q question) error {
	tree, err := head(q.Key, q.Note)
	if err != nil {
		return err
	}
	proof := make([]tlog.Hash, len(q.Proof))
	for i, b := range q.Proof {
		proof[i] = hash(b)
	}
	if q.OldNote != "" {
		old, err := head(q.Key, q.OldNote)
		if err != nil {
			return err
		}
		return tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash)
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, q.Position, tlog.RecordHash(q.Leaf))
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var q question
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			fmt.Println(err)
		} else if err := judge(q); err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok")
		}
	}
}
