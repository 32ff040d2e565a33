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
	holds := o.Condition == nil || o.Condition.holdsFor(valueOf(o.Condition.Key))
	switch o.Outcome {
	case succeeded:
		if !holds {
			return false, before
		}
	case rejected:
		return !holds, before
	case unknown: // nobody knows whether its condition held; if not, nothing changed and nobody saw the value
		if !holds {
			return !o.seen, before
		}
	}
	after := before
	for _, change := range o.Changes {
		after[slices.Index(keys, change.Key)] = valueOrEmpty(change.Value)
	}
	return true, after
}

func (c condition) holdsFor(value string) bool {
	if c.Present {
		return value != ""
	}
	return value == valueOrEmpty(c.Value)
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
	// The search is much faster without changes that nobody saw, and an order without them gives one with them. Without
	// such an order, one of them may explain a rejection.
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
	for index, o := range h.Operations {
		if o.Outcome == failed || o.Read != nil && o.Outcome == unknown {
			continue
		}
		if h.Lag > 0 && !o.Current && (o.Read != nil || o.Outcome == rejected) {
			continue
		}
		if isImplied(h, index) || kept == dropUnseen && canBeUnseen(h, index, seen) {
			continue
		}
		end := o.End
		if o.Outcome == unknown {
			end = last + 1 // Porcupine draws it to there
		}
		if o.Outcome != rejected {
			sighting := sightingOf(o, seen)
			o.seen = sighting != never
			end = min(end, sighting)
		}
		operations = append(operations, porcupine.Operation{
			ClientId: o.Client, Input: o, Call: o.Start, Output: o.Outcome, Return: end, Metadata: o.Note,
		})
	}
	return operations
}

// canBeUnseen returns whether the search may leave this change out, because an order of the others gives an order of
// all: the change may never have happened, or it may happen just before another write that overwrites its keys.
func canBeUnseen(h history, index int, seen map[string]int64) bool {
	o := h.Operations[index]
	if o.Read != nil || o.Outcome == rejected || sightingOf(o, seen) != never {
		return false
	}
	deletes := slices.ContainsFunc(o.Changes, func(change entry) bool { return change.Value == nil })
	if o.Outcome == unknown {
		return !deletes // a deletion can be seen without a value
	}
	if o.Condition != nil {
		return false
	}
	return anyInside(h, index, func(x operation) bool { return x.Condition == nil && covers(x, o) })
}

// isImplied returns whether another operation shows that a read or a rejection has a moment in every order. Each of
// them doubles the orders to search, and storms of outdated ETags have many.
func isImplied(h history, index int) bool {
	o := h.Operations[index]
	key := ""
	explains := func(value string) bool { return value == valueOrEmpty(o.Read.Value) }
	switch {
	case o.Read != nil:
		key = o.Read.Key
	case o.Outcome == rejected:
		key = o.Condition.Key
		explains = func(value string) bool { return !o.Condition.holdsFor(value) }
	default:
		return false
	}
	return anyInside(h, index, func(x operation) bool {
		if x.Read != nil {
			return (h.Lag == 0 || x.Current) && x.Read.Key == key && explains(valueOrEmpty(x.Read.Value))
		}
		change := x.changeOf(key)
		return change != nil && explains(valueOrEmpty(change.Value))
	})
}

// anyInside returns whether a successful operation between start and end of another one has a property. Of two
// operations with the same times, only the later one in the history counts as inside.
func anyInside(h history, index int, has func(operation) bool) bool {
	o := h.Operations[index]
	for other, x := range h.Operations {
		isInside := x.Start >= o.Start && x.End <= o.End && (x.Start > o.Start || x.End < o.End || other > index)
		if isInside && x.Outcome == succeeded && has(x) {
			return true
		}
	}
	return false
}

// covers returns whether x changes all keys that o changes.
func covers(x, o operation) bool {
	return !slices.ContainsFunc(o.Changes, func(change entry) bool { return x.changeOf(change.Key) == nil })
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

// findStaleRead returns the index of a read whose value nobody had written yet, or had certainly been overwritten more
// than the lag before the read, or -1. Without a lag, the search for an order finds both.
func findStaleRead(h history) int {
	return slices.IndexFunc(h.Operations, func(o operation) bool {
		return h.Lag > 0 && o.Read != nil && o.Outcome == succeeded && !canSee(h, o)
	})
}

// findUnfoundedRejection returns the index of a rejection whose condition certainly held from the lag before its start to
// its end, or -1. Without a lag, the search for an order finds it.
func findUnfoundedRejection(h history) int {
	return slices.IndexFunc(h.Operations, func(o operation) bool {
		return h.Lag > 0 && o.Outcome == rejected && !canReject(h, o)
	})
}

func canReject(h history, o operation) bool {
	key := o.Condition.Key
	var sources []operation // of the values with which the condition held
	if o.Condition.holdsFor("") {
		sources = append(sources, operation{Start: -1, End: -1}) // the key was missing at first
	}
	for _, x := range h.Operations {
		change := x.changeOf(key)
		if change == nil || x.Outcome != succeeded || x.End >= o.Start-h.Lag {
			continue
		}
		if o.Condition.holdsFor(valueOrEmpty(change.Value)) {
			sources = append(sources, x)
		}
	}
	return !slices.ContainsFunc(sources, func(source operation) bool {
		return !slices.ContainsFunc(h.Operations, func(x operation) bool {
			change := x.changeOf(key)
			if change == nil || x.Outcome == rejected || x.Outcome == failed || x.Start > o.End {
				return false
			}
			isOver := x.Outcome == succeeded && x.End < source.Start
			return !isOver && !o.Condition.holdsFor(valueOrEmpty(change.Value))
		})
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
