package main

import "log/slog"

// levels are the accepted values of log.level.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// logger writes to stderr in the form and from the level that the configuration asks for. It may be called again
// after a reload: every logger made here follows the newest level.
func (g *globals) logger(c *Config) *slog.Logger {
	g.setLevel(c)
	options := &slog.HandlerOptions{Level: &g.level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(g.stderr, options))
	}
	return slog.New(slog.NewTextHandler(g.stderr, options))
}

// setLevel changes the level of all loggers; SIGHUP comes here.
func (g *globals) setLevel(c *Config) { g.level.Set(levels[c.Log.Level]) }
