package double

import "context"

func (a *App) commands() []*command { return nil }

// MigrateUp runs the migrations that are not done yet.
func (s *Store) MigrateUp(a *App) error { return nil }

func (val *Validator) keymanagerAPI(ctx context.Context) error { return nil }
