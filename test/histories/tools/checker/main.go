// Command checker reads histories of the state API from a file, as a JSON array, and prints a verdict for each.
// It searches for an order of the operations that a single copy of the state would have produced, with Porcupine
// (https://github.com/anishathalye/porcupine). A history without one is drawn as an HTML timeline.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

func main() {
	input := flag.String("input", "", "file with the histories")
	timeout := flag.Duration("timeout", 30*time.Second, "maximum for one history; after it the verdict is inconclusive")
	drawings := flag.String("drawings", "", "existing folder for the timelines of failed histories")
	flag.Parse()
	if err := run(*input, *timeout, *drawings); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(input string, timeout time.Duration, drawings string) error {
	var histories []history
	file, err := os.Open(input)
	if err != nil {
		return err
	}
	defer file.Close()
	decoder := json.NewDecoder(file)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&histories); err != nil {
		return fmt.Errorf("%s is not readable: %w", input, err)
	}
	verdicts := make([]verdict, len(histories))
	failures := make([]error, len(histories))
	var running sync.WaitGroup
	free := make(chan struct{}, runtime.NumCPU())
	for index, each := range histories {
		running.Add(1)
		free <- struct{}{}
		go func() {
			defer func() { <-free; running.Done() }()
			verdicts[index], failures[index] = judge(each, timeout, drawings)
		}()
	}
	running.Wait()
	for _, failure := range failures {
		if failure != nil {
			return failure
		}
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

type verdict struct {
	Name string `json:"name"`
	// "linearizable", "not linearizable", "stale read", "unfounded rejection" or "inconclusive".
	Verdict string `json:"verdict"`
	// The shortest beginning of the history that fails: its last operation, and those before it.
	Explanation []string `json:"explanation,omitempty"`
	Drawing     string   `json:"drawing,omitempty"`
}

func judge(h history, timeout time.Duration, drawings string) (verdict, error) {
	if err := h.validate(); err != nil {
		return verdict{}, fmt.Errorf("history %q: %w", h.Name, err)
	}
	failed := verdict{Name: h.Name, Verdict: "not linearizable"}
	if index := findStaleRead(h); index >= 0 {
		failed.Verdict = "stale read"
		h.Operations = slices.Clone(h.Operations)
		h.Operations[index].Current = true // an order cannot explain it, either
	}
	if index := findUnfoundedRejection(h); index >= 0 {
		failed.Verdict = "unfounded rejection"
		h.Operations = slices.Clone(h.Operations)
		h.Operations[index].Current = true
	}
	switch check(h, timeout) {
	case porcupine.Ok:
		return verdict{Name: h.Name, Verdict: "linearizable"}, nil
	case porcupine.Unknown:
		return verdict{Name: h.Name, Verdict: "inconclusive"}, nil
	}
	shortest, last := shorten(h, timeout)
	failed.Explanation = explain(shortest, last)
	if drawings == "" {
		return failed, nil
	}
	_, information := porcupine.CheckOperationsVerbose(modelOf(shortest), toPorcupine(shortest, keepAll), timeout)
	failed.Drawing = filepath.Join(drawings, fileName(h.Name)+".html")
	return failed, porcupine.VisualizePath(modelOf(shortest), information, failed.Drawing)
}

// fileName replaces what not every file system accepts.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|~ `, r) {
			return '-'
		}
		return r
	}, name)
}
