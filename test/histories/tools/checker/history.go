package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A history has all operations on a few keys: on one, or on the keys of one partition, which transactions change
// together. Every value is written at most once, so a value identifies its write, and "the entry has the ETag of an
// earlier read" is the same as "the entry has the value of that read".
type history struct {
	Name string   `json:"name"`
	Keys []string `json:"keys"`
	// Microseconds. Above 0, a read may return and a rejection may rest on a value that was not certainly overwritten
	// longer ago than this: the promise for stores whose replicas lag. The search for an order leaves them out, except
	// those with Current.
	Lag        int64       `json:"lag,omitempty"`
	Operations []operation `json:"operations"`
}

type operation struct {
	Client int `json:"client"`
	// Microseconds on one clock.
	Start   int64   `json:"start"`
	End     int64   `json:"end"`
	Outcome outcome `json:"outcome"`
	// Shown in explanations and drawings, such as the instance.
	Note string `json:"note,omitempty"`
	// A read has Read, a change has Changes and perhaps a Condition.
	Read      *entry     `json:"read,omitempty"`
	Condition *condition `json:"condition,omitempty"`
	Changes   []entry    `json:"changes,omitempty"`
	// The read or rejection must see the current state, even if Lag is above 0.
	Current bool `json:"current,omitempty"`
	// Another operation saw a value that this change wrote, so it took effect, and its condition held. With a lag, the
	// search has no read that shows it.
	seen bool
}

type outcome string

const (
	succeeded outcome = "ok"
	// The condition did not hold at some moment between start and end. Nothing was changed.
	rejected outcome = "rejected"
	// Nothing was changed.
	failed outcome = "failed"
	// It takes effect at any moment after its start, or never.
	unknown outcome = "unknown"
)

// An entry without a value is missing.
type entry struct {
	Key   string  `json:"key"`
	Value *string `json:"value"`
}

// A condition requires any value, this value, or without both that the key is missing.
type condition struct {
	Key     string  `json:"key"`
	Present bool    `json:"present,omitempty"`
	Value   *string `json:"value"`
}

// maxKeys is small, because the search often copies and compares a state.
const maxKeys = 4

// never is after the end of every history.
const never = math.MaxInt64

func (h history) validate() error {
	if len(h.Keys) == 0 || len(h.Keys) > maxKeys {
		return fmt.Errorf("it has %d keys instead of 1 to %d", len(h.Keys), maxKeys)
	}
	written := map[string]bool{}
	for index, o := range h.Operations {
		fault := func(text string) error { return fmt.Errorf("operation %d (%s) %s", index, o, text) }
		if !slices.Contains([]outcome{succeeded, rejected, failed, unknown}, o.Outcome) {
			return fault("has an unknown outcome")
		}
		if o.End < o.Start {
			return fault("ends before its start")
		}
		if (o.Read == nil) == (len(o.Changes) == 0) {
			return fault("is neither a read nor a change")
		}
		if o.Outcome == rejected && o.Condition == nil {
			return fault("is rejected without a condition")
		}
		for _, key := range o.keys() {
			if !slices.Contains(h.Keys, key) {
				return fault("has a key of another history")
			}
		}
		for _, change := range o.Changes {
			if change.Value == nil {
				continue
			}
			if written[*change.Value] {
				return fault("writes a value for the second time")
			}
			written[*change.Value] = true
		}
	}
	return nil
}

func (o operation) keys() []string {
	var keys []string
	if o.Read != nil {
		keys = append(keys, o.Read.Key)
	}
	if o.Condition != nil {
		keys = append(keys, o.Condition.Key)
	}
	for _, change := range o.Changes {
		keys = append(keys, change.Key)
	}
	return keys
}

// changeOf returns the change of a key, if the operation has one.
func (o operation) changeOf(key string) *entry {
	for index := range o.Changes {
		if o.Changes[index].Key == key {
			return &o.Changes[index]
		}
	}
	return nil
}

func (o operation) String() string {
	var text strings.Builder
	if o.Read != nil {
		fmt.Fprintf(&text, "read %s", o.Read.Key)
		if o.Outcome == succeeded {
			fmt.Fprintf(&text, " = %s", show(o.Read.Value))
		}
	}
	for index, change := range o.Changes {
		if index > 0 {
			text.WriteString(" and ")
		}
		if change.Value == nil {
			fmt.Fprintf(&text, "delete %s", change.Key)
		} else {
			fmt.Fprintf(&text, "write %s = %s", change.Key, *change.Value)
		}
	}
	if o.Condition != nil {
		required := show(o.Condition.Value)
		if o.Condition.Present {
			required = "present"
		}
		fmt.Fprintf(&text, " if %s is %s", o.Condition.Key, required)
	}
	fmt.Fprintf(&text, ": %s", o.Outcome)
	return text.String()
}

func show(value *string) string {
	if value == nil {
		return "missing"
	}
	return *value
}
