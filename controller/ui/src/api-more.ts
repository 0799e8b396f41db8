// Parts of the picture whose types the controller's document does not have yet.
import type { Label } from './api';
// ---- taken from the controller's document as soon as it has them ----
export interface ContactRow {
  name: string;
  label: Label;
  on_duty: boolean;
  deputy: string | null;
  via: string[];
  called: boolean;
  last_test: { at_ms: number; by: string; notifier: string; took_ms: number } | null;
}
export interface NotifierRow {
  name: string;
  label: Label;
  state: string;
  problem: string | null;
  last_success_ms: number | null;
  is_tower?: boolean;
}
export interface ToldRow {
  alarm: string;
  contact: string;
  deputy_for: string | null;
  notifier: string;
  moment: string;
  at_ms: number;
  in_summary: boolean;
}
export interface FailedRow {
  at_ms: number;
  contact: string;
  alarm: string | null;
  problem: string;
  given_up: boolean;
}
export interface NoticesView {
  contacts: ContactRow[];
  notifiers: NotifierRow[];
  told: ToldRow[];
  failed: FailedRow[];
  under_way: number;
  test_due: Label | null;
}
