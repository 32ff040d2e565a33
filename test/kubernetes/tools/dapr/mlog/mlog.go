// Package mlog stands in for monis.app/mlog, the logger that azure-workload-identity requires in a version that the
// module proxy does not serve. It has what that webhook calls, and nothing else of the webhook is changed.
package mlog

import "log/slog"

type LogLevel string

const (
	LevelWarning LogLevel = ""
	LevelInfo    LogLevel = "info"
	LevelDebug   LogLevel = "debug"
	LevelTrace   LogLevel = "trace"
	LevelAll     LogLevel = "all"
)

func Enabled(level LogLevel) bool { return level == LevelWarning }

type Logger struct{ logger *slog.Logger }

func New() Logger { return Logger{slog.Default()} }

func (l Logger) WithName(name string) Logger { return Logger{l.logger.With("logger", name)} }

func (l Logger) WithValues(keysAndValues ...any) Logger {
	return Logger{l.logger.With(keysAndValues...)}
}

func (l Logger) Error(message string, err error) { l.logger.Error(message, "error", err) }
