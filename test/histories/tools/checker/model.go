package main

import (
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// A state has the values of the keys of a history, "" for a missing one.
type state [maxKeys]string

func modelOf(h history) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(before, input, _ any) (bool, any) {
			return apply(h.Keys, before.(state), input.(operation))
		},
		DescribeOperation: func(input, _ any) string { return input.(operation).String() },
		DescribeState: func(current any) string {
			var text []string
			for index, key := range h.Keys {
				value := current.(state)[index]
				if value == "" {
					value = "missing"
				}
				text = append(text, key+" = "+value)
			}
			return strings.Join(text, ", ")
		},
	}
}

// apply returns whether the operation can have its outcome in this state, and the state after it.
func apply(keys []string, before state, o operation) (bool, state) {
	valueOf := func(key string) string { return before[slices.Index(keys, key)] }
	if o.Read != nil {
		return valueOf(o.Read.Key) == valueOrEmpty(o.Read.Value), before
	}
	holds := true
	if c := o.Condition; c != nil {
		value := valueOf(c.Key)
		holds = c.Present && value != "" || !c.Present && value == valueOrEmpty(c.Value)
	}
	switch o.Outcome {
	case succeeded:
		if !holds {
			return false, before
		}
	case rejected:
		return !holds, before
	case unknown: // after all others, it has no effect that can be seen, as if it had never happened
		if !holds {
			return true, before
		}
	}
	after := before
	for _, change := range o.Changes {
		after[slices.Index(keys, change.Key)] = valueOrEmpty(change.Value)
	}
	return true, after
}

func valueOrEmpty(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

// check decides whether the history is linearizable.
func check(h history, timeout time.Duration) porcupine.CheckResult {
	model := modelOf(h)
	// Changes that nobody saw may never have happened. The search is much faster without them, and an order without
	// them is an order. Without such an order, one of them may explain a rejection.
	if porcupine.CheckOperationsTimeout(model, toPorcupine(h, dropUnseen), timeout/4) == porcupine.Ok {
		return porcupine.Ok
	}
	return porcupine.CheckOperationsTimeout(model, toPorcupine(h, keepAll), timeout)
}

type unseen bool

const (
	dropUnseen unseen = false
	keepAll    unseen = true
)

// toPorcupine returns the operations that restrict the order.
func toPorcupine(h history, kept unseen) []porcupine.Operation {
	seen := firstSightings(h)
	last := int64(0)
	for _, o := range h.Operations {
		last = max(last, o.End)
	}
	var operations []porcupine.Operation
	for _, o := range h.Operations {
		if o.Outcome == failed || o.Read != nil && o.Outcome == unknown {
			continue
		}
		if h.Lag > 0 && !o.Current && (o.Read != nil || o.Outcome == rejected) {
			continue
		}
		end := o.End
		if o.Outcome == unknown {
			end = sightingOf(o, seen)
			deletes := slices.ContainsFunc(o.Changes, func(change entry) bool { return change.Value == nil })
			if end == never {
				if kept == dropUnseen && !deletes {
					continue
				}
				end = last + 1 // Porcupine draws it to there
			}
		}
		operations = append(operations, porcupine.Operation{
			ClientId: o.Client, Input: o, Call: o.Start, Output: o.Outcome, Return: end, Metadata: o.Note,
		})
	}
	return operations
}

// firstSightings returns for each value the end of the first operation that saw it: its write had taken effect by then.
func firstSightings(h history) map[string]int64 {
	seen := map[string]int64{}
	for _, o := range h.Operations {
		if o.Outcome != succeeded {
			continue
		}
		var value *string
		if o.Read != nil {
			value = o.Read.Value
		} else if o.Condition != nil {
			value = o.Condition.Value
		}
		if value == nil {
			continue
		}
		if earlier, known := seen[*value]; !known || o.End < earlier {
			seen[*value] = o.End
		}
	}
	return seen
}

func sightingOf(o operation, seen map[string]int64) int64 {
	first := int64(never)
	for _, change := range o.Changes {
		if change.Value == nil {
			continue
		}
		if end, known := seen[*change.Value]; known {
			first = min(first, max(end, o.Start)) // a value seen before its write began makes the search fail anyway
		}
	}
	return first
}

// findStaleRead returns the index of a read whose value nobody had written yet, or had surely been overwritten more than
// the lag before the read, or -1. Without a lag, the search for an order finds both.
func findStaleRead(h history) int {
	return slices.IndexFunc(h.Operations, func(o operation) bool {
		return h.Lag > 0 && o.Read != nil && o.Outcome == succeeded && !canSee(h, o)
	})
}

func canSee(h history, read operation) bool {
	key := read.Read.Key
	sources := []operation{}
	if read.Read.Value == nil {
		sources = append(sources, operation{Start: -1, End: -1, Outcome: succeeded}) // the key was missing at first
	}
	for _, o := range h.Operations {
		change := o.changeOf(key)
		if change == nil || o.Outcome == rejected || o.Outcome == failed || o.Start > read.End {
			continue
		}
		if valueOrEmpty(change.Value) == valueOrEmpty(read.Read.Value) {
			sources = append(sources, o)
		}
	}
	return slices.ContainsFunc(sources, func(source operation) bool {
		return source.Outcome == unknown || !slices.ContainsFunc(h.Operations, func(o operation) bool {
			return o.Outcome == succeeded && o.changeOf(key) != nil && o.Start > source.End && o.End < read.Start-h.Lag
		})
	})
}
