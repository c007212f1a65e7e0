#include "dataplane/worker/command_queue.hpp"

#include <bit>

namespace pollux::worker {

CommandQueue::CommandQueue(std::uint32_t depth_, std::uint32_t lent_views_max)
    : depth(depth_), submissions(std::bit_ceil(depth_)), completions(std::bit_ceil(depth_)) {
  if (lent_views_max == 0) return;
  records_.reset(new LentRecord[depth]);
  views_.reset(new pollux_view[std::size_t{depth} * lent_views_max]);
  handles_.reset(new void*[std::size_t{depth} * lent_views_max]);
  for (std::uint32_t i = 0; i < depth; ++i) {
    LentRecord& record = records_[i];
    record.queue = this;
    record.view_capacity = lent_views_max;
    record.views = &views_[std::size_t{i} * lent_views_max];
    record.handles = &handles_[std::size_t{i} * lent_views_max];
    record.next = free_records;
    free_records = &record;
  }
}

}  // namespace pollux::worker
