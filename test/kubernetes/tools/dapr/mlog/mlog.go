// Package mlog replaces monis.app/mlog, the logger of azure-workload-identity and secrets-store-csi-driver: the module
// proxy does not serve the versions that they require. It has only the functions that they call.
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
