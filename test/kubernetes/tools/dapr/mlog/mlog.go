// Package mlog stands in for monis.app/mlog, the logger that azure-workload-identity and secrets-store-csi-driver require in
// versions that the module proxy does not serve. It has what they call, and nothing else of them is changed.
package mlog

import (
	"context"
	"log/slog"
	"os"
)

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

func Error(message string, err error) { slog.Error(message, "error", err) }

func Fatal(err error) {
	slog.Error(err.Error())
	os.Exit(1)
}

func Setup() func() { return func() {} }

type LogFormat string

const (
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)

func ValidateAndSetKlogLevelAndFormatGlobally[Level any](context.Context, Level, LogFormat) error {
	return nil
}
